# PostgreSQL (RDS), the broker (ElastiCache) and the secrets of both and of the site.
#
# Passwords and keys are made during `apply`, go to Secrets Manager, and are in no state and no plan; the broker's is the
# one exception, since its resource knows no write-only argument. What it guards is ids of tasks, behind a closed group.

locals {
  max_connections = 200

  # What PostgreSQL may write into its own log: as medilink/server_log.py, and no statement of a patient's.
  quiet = {
    log_min_messages                  = "log"
    log_min_error_statement           = "panic"
    log_error_verbosity               = "terse"
    log_statement                     = "none"
    log_min_duration_statement        = "-1"
    log_min_duration_sample           = "-1"
    log_transaction_sample_rate       = "0"
    log_parameter_max_length          = "0"
    log_parameter_max_length_on_error = "0"
  }
  # Those of a server take hold when it starts.
  of_the_server = {
    "rds.force_ssl"          = "1"
    shared_preload_libraries = "pg_stat_statements" # and no auto_explain, which writes statements
    max_connections          = tostring(local.max_connections)
    # Performance Insights keeps texts of statements: cut before the values begin, which psycopg2 writes into them.
    track_activity_query_size = "100"
  }

  # Raised by one, `apply` makes new ones; then `systemctl restart medilink` on each host.
  database_password_version = 1
}

resource "aws_kms_key" "main" {
  description             = "${local.name}: database, secrets, logs, alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "main" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.main.id
}

# --- Secrets

ephemeral "aws_secretsmanager_random_password" "made" {
  for_each = toset(["database", "web", "signing", "sealing"])

  password_length     = 64
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "database" {
  name                    = "${local.name}/database"
  description             = "Password of ${var.db_username}, who owns the tables"
  kms_key_id              = aws_kms_key.main.arn
  recovery_window_in_days = local.is_production ? 30 : 7
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id                = aws_secretsmanager_secret.database.id
  secret_string_wo         = coalesce(var.db_password, ephemeral.aws_secretsmanager_random_password.made["database"].random_password)
  secret_string_wo_version = local.database_password_version
}

# Its names are lines of the hosts' .env: put EMAIL_URL, ALERT_WEBHOOK_URL, DHIS2_TOKEN and the like beside them, or a
# new first key of DATA_KEYS. Terraform writes it once and never again. Losing DATA_KEYS loses what it has sealed, the
# backups included: keep a copy of the secret in other hands than the backups.
resource "aws_secretsmanager_secret" "site" {
  name                    = "${local.name}/site"
  description             = "SECRET_KEY, DATA_KEYS, the web's database password and what else the site must keep to itself"
  kms_key_id              = aws_kms_key.main.arn
  recovery_window_in_days = local.is_production ? 30 : 7
}

resource "aws_secretsmanager_secret_version" "site" {
  secret_id = aws_secretsmanager_secret.site.id
  secret_string_wo = jsonencode({
    SECRET_KEY            = ephemeral.aws_secretsmanager_random_password.made["signing"].random_password
    DATA_KEYS             = "first:${base64sha256(ephemeral.aws_secretsmanager_random_password.made["sealing"].random_password)}"
    POSTGRES_WEB_PASSWORD = ephemeral.aws_secretsmanager_random_password.made["web"].random_password
  })
  secret_string_wo_version = 1
}

# --- PostgreSQL

# What was written a moment ago, read back: a password that is made has to be the same in both places.
ephemeral "aws_secretsmanager_secret_version" "database" {
  secret_id  = aws_secretsmanager_secret_version.database.secret_id
  version_id = aws_secretsmanager_secret_version.database.version_id
}

resource "aws_db_subnet_group" "main" {
  name       = local.name
  subnet_ids = [for zone in local.zones : aws_subnet.private[zone].id]
}

resource "aws_db_parameter_group" "main" {
  name        = "${local.name}-${split(".", var.db_engine_version)[0]}"
  family      = "postgres${split(".", var.db_engine_version)[0]}"
  description = "TLS only; no patient in the server's log"

  dynamic "parameter" {
    for_each = merge(local.quiet, local.of_the_server)

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = contains(keys(local.of_the_server), parameter.key) ? "pending-reboot" : "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "main" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = var.db_engine_version
  instance_class = var.db_instance_class

  db_name             = var.db_name
  username            = var.db_username
  password_wo         = ephemeral.aws_secretsmanager_secret_version.database.secret_string
  password_wo_version = local.database_password_version

  allocated_storage     = var.db_allocated_storage
  max_allocated_storage = var.db_allocated_storage * 4
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.main.arn

  db_subnet_group_name   = aws_db_subnet_group.main.name
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.main.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  multi_az                  = local.is_production
  deletion_protection       = local.is_production
  skip_final_snapshot       = !local.is_production
  final_snapshot_identifier = local.is_production ? "${local.name}-final" : null
  delete_automated_backups  = !local.is_production
  copy_tags_to_snapshot     = true
  backup_retention_period   = var.backup_retention_days

  # In UTC. The night loads from 02:00 and makes its backup after that.
  backup_window              = "00:00-00:45"
  maintenance_window         = "sun:12:00-sun:13:00"
  auto_minor_version_upgrade = true
  apply_immediately          = !local.is_production

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.main.arn
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.database]
}

# --- The broker: who takes which task. It may be lost: the database knows what is due, and the sweep asks it.

data "aws_secretsmanager_random_password" "broker" {
  password_length     = 64
  exclude_punctuation = true
}

# The first answer of the line above, kept: asked again it is another one.
resource "terraform_data" "broker_password" {
  input = sensitive(data.aws_secretsmanager_random_password.broker.random_password)

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_secretsmanager_secret" "broker" {
  name                    = "${local.name}/broker"
  description             = "Where the broker is, and its password"
  kms_key_id              = aws_kms_key.main.arn
  recovery_window_in_days = local.is_production ? 30 : 7
}

resource "aws_secretsmanager_secret_version" "broker" {
  secret_id     = aws_secretsmanager_secret.broker.id
  secret_string = "rediss://:${terraform_data.broker_password.output}@${aws_elasticache_replication_group.broker.primary_endpoint_address}:6379/0?ssl_cert_reqs=required"
}

resource "aws_elasticache_subnet_group" "main" {
  name       = local.name
  subnet_ids = [for zone in local.zones : aws_subnet.private[zone].id]
}

resource "aws_elasticache_parameter_group" "broker" {
  name        = "${local.name}-broker"
  family      = "valkey8"
  description = "A full broker refuses; it never forgets a task by itself"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_replication_group" "broker" {
  replication_group_id       = local.name
  description                = "Celery's broker"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = "cache.t4g.small"
  num_cache_clusters         = local.is_production ? 2 : 1
  multi_az_enabled           = local.is_production
  automatic_failover_enabled = local.is_production

  parameter_group_name = aws_elasticache_parameter_group.broker.name
  subnet_group_name    = aws_elasticache_subnet_group.main.name
  security_group_ids   = [aws_security_group.broker.id]

  auth_token                 = terraform_data.broker_password.output
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.main.arn
  apply_immediately          = true
  auto_minor_version_upgrade = true
}
