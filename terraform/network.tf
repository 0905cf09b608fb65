# The network, and who reaches whom: the world the load balancer on 443, that the hosts, those database and broker.
#
# Hosts stand in public subnets, for their way out only: nothing but the load balancer reaches them. A NAT gateway in
# each zone would cost as much as the hosts and open nothing less.

data "aws_availability_zones" "usable" {
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  zones = length(var.availability_zones) > 0 ? var.availability_zones : slice(data.aws_availability_zones.usable.names, 0, 2)
  place = { for index, zone in local.zones : zone => index }
}

resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = local.name }
}

# Whatever is started without a group of its own reaches nothing and nobody.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.main.id
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = local.name }
}

resource "aws_subnet" "public" {
  for_each = local.place

  vpc_id            = aws_vpc.main.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value)
  tags              = { Name = "${local.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = local.place

  vpc_id            = aws_vpc.main.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value + 8)
  tags              = { Name = "${local.name}-private-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-public" }
}

resource "aws_route" "out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

# No way out: neither database nor broker calls anybody.
resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-private" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

# Files and backups do not leave AWS's network. Which bucket and which prefix says the hosts' role (identity.tf).
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.main.id
  service_name      = "com.amazonaws.${var.aws_region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public.id]
  tags              = { Name = "${local.name}-s3" }
}

# --- Who reaches whom

resource "aws_security_group" "load_balancer" {
  name        = "${local.name}-load-balancer"
  description = "The only door: 443, for allowed_cidr_blocks"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "${local.name}-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "site" {
  for_each = toset(var.allowed_cidr_blocks)

  security_group_id = aws_security_group.load_balancer.id
  description       = "HTTPS"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_hosts" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "The hosts' proxy"
  referenced_security_group_id = aws_security_group.host.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_security_group" "host" {
  name        = "${local.name}-host"
  description = "Application hosts: reached by the load balancer alone"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "${local.name}-host" }
}

resource "aws_vpc_security_group_ingress_rule" "host_from_load_balancer" {
  security_group_id            = aws_security_group.host.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

# AWS itself, the registry, webhooks and DHIS2 by HTTPS; mail by submission with TLS. Nothing in the clear.
resource "aws_vpc_security_group_egress_rule" "host_out" {
  for_each = { "HTTPS" = 443, "mail" = 587 }

  security_group_id = aws_security_group.host.id
  description       = each.key
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "PostgreSQL: reached by the hosts alone"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "${local.name}-database" }
}

resource "aws_security_group" "broker" {
  name        = "${local.name}-broker"
  description = "Valkey: reached by the hosts alone"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "${local.name}-broker" }
}

locals {
  behind_hosts = {
    database = { group = aws_security_group.database.id, port = 5432 }
    broker   = { group = aws_security_group.broker.id, port = 6379 }
  }
}

resource "aws_vpc_security_group_ingress_rule" "from_hosts" {
  for_each = local.behind_hosts

  security_group_id            = each.value.group
  description                  = "From the hosts"
  referenced_security_group_id = aws_security_group.host.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "host_behind" {
  for_each = local.behind_hosts

  security_group_id            = aws_security_group.host.id
  description                  = "To the ${each.key}"
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# Who tried to reach what, without what was said: for the day on which somebody asks.
resource "aws_flow_log" "main" {
  vpc_id               = aws_vpc.main.id
  traffic_type         = "ALL"
  log_destination_type = "s3"
  log_destination      = aws_s3_bucket.logs.arn
  tags                 = { Name = local.name }

  depends_on = [aws_s3_bucket_policy.logs]
}
