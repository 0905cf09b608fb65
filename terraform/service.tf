# The site: its image, its name with a certificate, the load balancer, and the hosts behind it.
#
# Hosts are groups of one: a machine that breaks is replaced in whichever zone works. Only the first runs beat and
# migrates, for two beats would queue everything twice. `apply` restarts nothing: it writes down what the next machine
# will be, and `aws autoscaling start-instance-refresh` replaces first one host, then the other.

locals {
  hosts   = toset(local.is_production ? ["first", "second"] : ["first"])
  version = regex("(?m)^version = \"(.+)\"$", file("${path.module}/../pyproject.toml"))[0]
  image   = coalesce(var.image, "${aws_ecr_repository.site.repository_url}:${local.version}")

  # Lines of the hosts' .env that are nobody's secret. The load balancer asks for TLS but for nobody's signature, so the
  # hosts' proxy makes its own certificate; the two are the proxies before the site.
  settings = <<-END
    MEDILINK_IMAGE=${local.image}
    MEDILINK_ENV=${var.environment == "dev" ? "development" : var.environment}
    SITE_HOST=${var.domain_name}
    PROXY_TLS=tls internal
    TRUSTED_PROXIES=${join(" ", [for zone in local.zones : aws_subnet.public[zone].cidr_block])}
    NUM_PROXIES=2
    POSTGRES_HOST=${aws_db_instance.main.address}
    POSTGRES_PORT=${aws_db_instance.main.port}
    POSTGRES_USER=${var.db_username}
    POSTGRES_DB=${var.db_name}
    S3_BUCKET_NAME=${var.s3_bucket_name}
    AWS_REGION=${var.aws_region}
    AWS_ENDPOINT_URL_S3=
    AWS_ACCESS_KEY_ID=
    AWS_SECRET_ACCESS_KEY=
    BACKUP_URL=s3://${aws_s3_bucket.backups.bucket}/nightly/
  END
}

resource "aws_ecr_repository" "site" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE" # the same tag is the same image, on every host and next year
  force_delete         = !local.is_production

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.main.arn
  }
}

# --- The name

resource "aws_acm_certificate" "site" {
  domain_name       = var.domain_name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# Waits until whoever keeps the domain has made the record of the output dns_records. The first time that output comes
# from `terraform apply -target=aws_acm_certificate.site -target=aws_lb.site`; then the whole.
resource "aws_acm_certificate_validation" "site" {
  certificate_arn = aws_acm_certificate.site.arn
}

# --- The load balancer. There is no listener on 80: who types the name alone gets it by HSTS, or a refusal.

resource "aws_lb" "site" {
  name                       = local.name
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.load_balancer.id]
  subnets                    = [for zone in local.zones : aws_subnet.public[zone].id]
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  enable_deletion_protection = local.is_production

  # Who connected when, and how well encrypted. Its log of requests would keep whole addresses, and the desk's searches
  # have patients' names in them; which requests there were is in the site's own log, without them.
  connection_logs {
    bucket  = aws_s3_bucket.logs.bucket
    prefix  = "connections"
    enabled = true
  }

  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_lb_target_group" "site" {
  name                 = local.name
  vpc_id               = aws_vpc.main.id
  port                 = 443
  protocol             = "HTTPS"
  deregistration_delay = 60

  # Not ready is also a host whose database has another shape than its code.
  health_check {
    protocol            = "HTTPS"
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 8
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "site" {
  load_balancer_arn = aws_lb.site.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
  certificate_arn   = aws_acm_certificate_validation.site.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.site.arn
  }
}

# --- The hosts

data "aws_ec2_instance_type" "host" {
  instance_type = var.ec2_instance_type
}

# From where the first host calls others, also after it was replaced.
resource "aws_eip" "first_host" {
  domain = "vpc"
  tags   = { Name = "${local.name}-first" }

  depends_on = [aws_internet_gateway.main]
}

resource "aws_launch_template" "host" {
  for_each = local.hosts

  name                   = "${local.name}-${each.key}"
  update_default_version = true
  image_id = format(
    "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-%s",
    contains(data.aws_ec2_instance_type.host.supported_architectures, "arm64") ? "arm64" : "x86_64"
  )
  instance_type = var.ec2_instance_type
  key_name      = var.ec2_key_name

  user_data = base64gzip(templatefile("${path.module}/user_data.sh", {
    name            = local.name
    region          = var.aws_region
    image           = local.image
    is_first        = each.key == "first"
    address         = aws_eip.first_host.allocation_id
    namespace       = local.namespace
    log_group       = aws_cloudwatch_log_group.host.name
    site_secret     = aws_secretsmanager_secret_version.site.secret_id
    database_secret = aws_secretsmanager_secret_version.database.secret_id
    database        = "${aws_db_instance.main.endpoint}/${var.db_name}"
    broker_secret   = aws_secretsmanager_secret_version.broker.secret_id
    settings        = base64encode(local.settings)
    compose_file    = base64gzip(file("${path.module}/../docker-compose.yml"))
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.host.arn
  }

  network_interfaces {
    associate_public_ip_address = true
    security_groups             = [aws_security_group.host.id]
  }

  # Tokens only, so that no request that a page was talked into fetches the role's keys; two hops let containers ask.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = 60
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "network-interface", "volume"]

    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${local.name}-${each.key}", Project = var.project_name, Environment = var.environment })
    }
  }
}

# The load balancer's opinion does not replace machines: a database that is away would have them all replaced, again and
# again. It passes them by, and the alarm tells.
resource "aws_autoscaling_group" "host" {
  for_each = local.hosts

  name                      = "${local.name}-${each.key}"
  min_size                  = 1
  max_size                  = 1
  vpc_zone_identifier       = [for zone in local.zones : aws_subnet.public[zone].id]
  target_group_arns         = [aws_lb_target_group.site.arn]
  health_check_type         = "EC2"
  wait_for_capacity_timeout = "10m"

  launch_template {
    id      = aws_launch_template.host[each.key].id
    version = aws_launch_template.host[each.key].latest_version
  }

  depends_on = [aws_iam_role_policy.host, aws_iam_role_policy.bucket, aws_route.out]
}
