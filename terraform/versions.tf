# Which Terraform and provider, where the state lies, and what the files beside this one share.
#
# Terraform 1.11 is the first that hands passwords to AWS without writing them into the state (write-only arguments).
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Whoever works with others keeps the state in a bucket of its own: encrypted, versioned, for administrators only.
  # Take the marks of the next line away, and
  #   terraform init -backend-config=bucket=… -backend-config=key=medilink/production.tfstate \
  #     -backend-config=region=… -backend-config=encrypt=true -backend-config=use_lockfile=true
  # backend "s3" {}
}

# Who may do this comes from the environment (a role, `aws sso login`); keys stand in no file.
provider "aws" {
  region = var.aws_region

  default_tags {
    tags = merge({ Project = var.project_name, Environment = var.environment, ManagedBy = "terraform" }, var.tags)
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  name          = "${var.project_name}-${var.environment}"
  account       = data.aws_caller_identity.current.account_id
  is_production = var.environment == "production"
}
