# What is kept of the hosts' words, and who is told when something is wrong. Whatever the site itself knows to be wrong it
# tells by itself (ALERT_EMAIL, ALERT_WEBHOOK_URL); here is what it cannot tell: that it is not there.

locals {
  namespace = local.name
  log_days  = local.is_production ? 365 : 30
}

resource "aws_cloudwatch_log_group" "host" {
  name              = "/${local.name}/hosts"
  retention_in_days = local.log_days
  kms_key_id        = aws_kms_key.main.arn
}

# Made before the database is, which would make them without an end and without our key.
resource "aws_cloudwatch_log_group" "database" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${local.name}/${each.key}"
  retention_in_days = local.log_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = aws_kms_key.main.id
}

resource "aws_sns_topic_subscription" "mail" {
  count = var.alert_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

locals {
  of_database = { DBInstanceIdentifier = aws_db_instance.main.identifier }
  of_targets  = { LoadBalancer = aws_lb.site.arn_suffix, TargetGroup = aws_lb_target_group.site.arn_suffix }
  GiB         = 1024 * 1024 * 1024

  alarms = merge(
    {
      # The first host measures it every ten minutes. Nothing measured is as bad as nothing loaded.
      no-good-run = {
        said      = "No night was loaded well for 26 hours, or the first host does not say"
        namespace = local.namespace, metric = "medilink_last_good_run_age_seconds", of = {}
        statistic = "Maximum", over = 26 * 3600, minutes = 15, times = 3, missing = "breaching"
      }
      host-disk = {
        said      = "A host's disk is fuller than 80 %"
        namespace = local.namespace, metric = "disk_used_percent", of = {}
        statistic = "Maximum", over = 80, minutes = 5, times = 3, missing = "breaching"
      }
      host-memory = {
        said      = "A host's memory is fuller than 90 %"
        namespace = local.namespace, metric = "mem_used_percent", of = {}
        statistic = "Maximum", over = 90, minutes = 5, times = 3, missing = "missing"
      }
      hosts-unhealthy = {
        said      = "A host is not ready: the load balancer passes it by"
        namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", of = local.of_targets
        statistic = "Maximum", over = 0, minutes = 1, times = 5, missing = "breaching"
      }
      site-errors = {
        said      = "The site answered more than 20 requests in five minutes with an error of its own"
        namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", of = local.of_targets
        statistic = "Sum", over = 20, minutes = 5, times = 1, missing = "notBreaching"
      }
      database-disk = {
        said      = "The database has less than 10 GiB left"
        namespace = "AWS/RDS", metric = "FreeStorageSpace", of = local.of_database
        statistic = "Minimum", under = 10 * local.GiB, minutes = 5, times = 2, missing = "breaching"
      }
      database-cpu = {
        said      = "The database is busier than 85 % for half an hour"
        namespace = "AWS/RDS", metric = "CPUUtilization", of = local.of_database
        statistic = "Average", over = 85, minutes = 5, times = 6, missing = "breaching"
      }
      database-connections = {
        said      = "Four of five connections of the database are taken"
        namespace = "AWS/RDS", metric = "DatabaseConnections", of = local.of_database
        statistic = "Maximum", over = local.max_connections * 0.8, minutes = 5, times = 2, missing = "missing"
      }
      broker-memory = {
        said      = "The broker is fuller than 80 %: a full one refuses tasks"
        namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage"
        of        = { CacheClusterId = "${local.name}-001" }
        statistic = "Maximum", over = 80, minutes = 5, times = 3, missing = "missing"
      }
    },
    {
      for host in local.hosts : "host-cpu-${host}" => {
        said      = "The ${host} host is busier than 90 % for half an hour"
        namespace = "AWS/EC2", metric = "CPUUtilization"
        of        = { AutoScalingGroupName = aws_autoscaling_group.host[host].name }
        statistic = "Average", over = 90, minutes = 5, times = 6, missing = "breaching"
      }
    }
  )
}

resource "aws_cloudwatch_metric_alarm" "all" {
  for_each = local.alarms

  alarm_name        = "${local.name}-${each.key}"
  alarm_description = "${each.value.said}. RUNBOOK.md says what to do."

  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.of
  statistic           = each.value.statistic
  comparison_operator = can(each.value.under) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = try(each.value.under, each.value.over)
  period              = each.value.minutes * 60
  evaluation_periods  = each.value.times
  treat_missing_data  = each.value.missing

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}
