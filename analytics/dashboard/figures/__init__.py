"""The dashboard's figures, each as its words and its table: what is drawn, told and exported is the same rows."""
