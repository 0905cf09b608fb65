# Every knob. Without a default are those of which a wrong guess does harm: whose region, whose door, whose bucket.

variable "aws_region" {
  description = "Region in which everything lies. Health data and borders: a person says it, nobody assumes it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must be the name of a region, such as af-south-1."
  }
}

variable "project_name" {
  description = "What the names of all resources begin with."
  type        = string
  default     = "medilink"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.project_name)) && length(var.project_name) <= 20
    error_message = "project_name must have at most 20 small letters, digits and single hyphens, and begin with a letter."
  }
}

variable "environment" {
  description = "dev, staging or production. Production has a second host and a standby database, and resists deletion."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment must be dev, staging or production."
  }
}

variable "vpc_cidr" {
  description = "Private addresses of the network, /16 to /22; every zone gets a sixteenth for each of its two subnets."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition = (
      can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)[0-9.]+/(1[6-9]|2[0-2])$", var.vpc_cidr)) &&
      can(cidrhost(var.vpc_cidr, 0))
    )
    error_message = "vpc_cidr must be a private IPv4 block between /16 and /22, such as 10.40.0.0/16."
  }
}

variable "availability_zones" {
  description = "Two to eight zones of the region; an empty list takes its first two."
  type        = list(string)
  default     = []

  validation {
    condition = (
      length(var.availability_zones) == 0 ||
      (length(var.availability_zones) >= 2 && length(var.availability_zones) <= 8)
    )
    error_message = "availability_zones must name two to eight zones, or none for the region's first two."
  }

  validation {
    condition = (
      length(distinct(var.availability_zones)) == length(var.availability_zones) &&
      alltrue([for zone in var.availability_zones : startswith(zone, var.aws_region)])
    )
    error_message = "availability_zones must be different zones of aws_region."
  }
}

variable "ec2_instance_type" {
  description = "Type of the application hosts, with at least 8 GiB; x86 or ARM as the image was built."
  type        = string
  default     = "t3.large"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.([0-9]*xlarge|large)$", var.ec2_instance_type))
    error_message = "ec2_instance_type must be a type of size large or more, such as t3.large: web, workers and beat share it."
  }
}

variable "ec2_key_name" {
  description = "Existing key pair for SSH through a session of SSM; port 22 stays closed. null = SSM only."
  type        = string
  default     = null
}

variable "allowed_cidr_blocks" {
  description = "IPv4 blocks from which the site may be reached on 443. All the world (0.0.0.0/0) only in production."
  type        = list(string)

  validation {
    condition = length(var.allowed_cidr_blocks) > 0 && alltrue([
      for block in var.allowed_cidr_blocks : can(regex("^[0-9.]+/[0-9]+$", block)) && can(cidrhost(block, 0))
    ])
    error_message = "allowed_cidr_blocks must name at least one IPv4 block, such as 196.0.0.0/16."
  }

  validation {
    # Half of the world is not better than all of it: whoever means the world has to say so.
    condition = alltrue([
      for block in var.allowed_cidr_blocks : try(tonumber(split("/", block)[1]) >= 8, true) ||
      (block == "0.0.0.0/0" && var.environment == "production")
    ])
    error_message = "allowed_cidr_blocks may be 0.0.0.0/0 in production, where facilities call from mobile networks; else /8 is the widest."
  }
}

variable "domain_name" {
  description = "Host name of the site; its certificate is made here, its DNS records are yours (output dns_records)."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain_name)) && length(var.domain_name) <= 64
    error_message = "domain_name must be a bare host name in small letters, such as medilink.example.org."
  }
}

variable "db_instance_class" {
  description = "Class of the database, from medium: smaller ones know no Performance Insights."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = can(regex("^db\\.[a-z][a-z0-9-]*\\.([0-9]*xlarge|large|medium)$", var.db_instance_class))
    error_message = "db_instance_class must be a class of size medium or more, such as db.t4g.medium."
  }
}

variable "db_name" {
  description = "Name of the database."
  type        = string
  default     = "medilink"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.db_name)) && !contains(["db", "postgres", "rdsadmin"], var.db_name)
    error_message = "db_name must have small letters, digits and _, begin with a letter, and not be db, postgres or rdsadmin."
  }
}

variable "db_username" {
  description = "Owner of the tables; workers and migrations are this user. The web connects as medilink_web, which owns nothing."
  type        = string
  default     = "medilink"

  validation {
    condition = can(regex("^[a-z][a-z0-9_]{0,62}$", var.db_username)) && !contains(
      ["admin", "postgres", "rdsadmin", "medilink_web", "medilink_bi"], var.db_username
    )
    error_message = "db_username must have small letters, digits and _, and not be a role that RDS or Medilink uses itself."
  }
}

variable "db_password" {
  description = "Password of db_username at its creation. null = made here. Either way it is in Secrets Manager, never in the state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.db_password == null || can(regex("^[A-Za-z0-9_.~-]{16,128}$", var.db_password))
    error_message = "db_password must have 16 to 128 letters, digits and _ . ~ -: RDS and addresses refuse others."
  }
}

variable "db_allocated_storage" {
  description = "GiB of the database at first; it grows by itself to four times that."
  type        = number
  default     = 100

  validation {
    condition     = var.db_allocated_storage >= 20 && var.db_allocated_storage <= 16384 && floor(var.db_allocated_storage) == var.db_allocated_storage
    error_message = "db_allocated_storage must be 20 to 16384 GiB."
  }
}

variable "db_engine_version" {
  description = "PostgreSQL, from 17 (its own collations are needed); a bare major version takes minor ones by itself."
  type        = string
  default     = "18"

  validation {
    condition     = can(regex("^(1[7-9]|[2-9][0-9])(\\.[0-9]+)?$", var.db_engine_version))
    error_message = "db_engine_version must be PostgreSQL 17 or newer, such as 18 or 17.6."
  }
}

variable "backup_retention_days" {
  description = "Days for which RDS can go back to any second; 7 and more in production."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days <= 35 && var.backup_retention_days >= (var.environment == "production" ? 7 : 1)
    error_message = "backup_retention_days must be 1 to 35, and at least 7 in production."
  }
}

variable "s3_bucket_name" {
  description = "The web app's existing bucket, into which it delivers. It is read about, never created, changed or destroyed."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.s3_bucket_name))
    error_message = "s3_bucket_name must be the name of a bucket: 3 to 63 small letters, digits, dots and hyphens."
  }
}

variable "tags" {
  description = "More tags for every resource."
  type        = map(string)
  default     = {}
}

# Beside those that the contract names.

variable "image" {
  description = "Image of the application as registry/name:tag. null = the repository made here, tagged as pyproject.toml's version."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[a-z0-9][a-z0-9.:/_-]*(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "image must name its tag or digest: hosts that start on different days must run the same."
  }
}

variable "alert_email" {
  description = "Who is mailed when an alarm begins and ends; SNS asks for a confirmation first. null = nobody yet."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[a-z]+$", var.alert_email))
    error_message = "alert_email must be one address."
  }
}
