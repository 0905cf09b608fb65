"""Monthly figures for DHIS2: counted from the marts, mapped by a table, sent once, and reconciled to the unit."""
