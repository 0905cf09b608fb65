"""What must hold of terraform/, read from its files. Each rule is shown to fail on files that break it."""

import re

import pytest

from medilink.server_log import QUIET
from tests.terraform.reading import FOLDER, Configuration

CONTRACT = {
    "variables": {
        "aws_region",
        "project_name",
        "environment",
        "vpc_cidr",
        "availability_zones",
        "ec2_instance_type",
        "ec2_key_name",
        "allowed_cidr_blocks",
        "domain_name",
        "db_instance_class",
        "db_name",
        "db_username",
        "db_password",
        "db_allocated_storage",
        "db_engine_version",
        "backup_retention_days",
        "s3_bucket_name",
        "tags",
    },
    "outputs": {"ec2_public_ip", "rds_endpoint", "s3_bucket_name", "api_url", "admin_url"},
}
OURS = {"variables": {"image", "alert_email"}, "outputs": {"dns_records"}}
FREE = {"ec2_key_name", "tags"}  # where no value does harm
NOT_NARROWER = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}  # AWS knows no resource of theirs
LOAD_BALANCER, HOST = "${aws_security_group.load_balancer.id}", "${aws_security_group.host.id}"
APP = ("aws_s3_bucket.app", "var.s3_bucket_name")


def world_reaches_443_alone(said):
    for type_, name, body in said.types():
        if type_ in ("aws_security_group", "aws_default_security_group") and {"ingress", "egress"} & body.keys():
            yield f"{name} has rules inside"
        if type_ == "aws_security_group_rule":
            yield f"{name} is a rule of the old kind"
    for name, rule in said.of("aws_vpc_security_group_ingress_rule").items():
        is_open = {"cidr_ipv4", "cidr_ipv6", "prefix_list_id"} & rule.keys()
        wanted = (LOAD_BALANCER, "${each.value}", 443, 443, "tcp")
        found = tuple(
            rule.get(key) for key in ("security_group_id", "cidr_ipv4", "from_port", "to_port", "ip_protocol")
        )
        if is_open and (found != wanted or rule["for_each"] != "${toset(var.allowed_cidr_blocks)}"):
            yield f"{name} opens more than 443 of the load balancer to allowed_cidr_blocks"
    for name, listener in said.of("aws_lb_listener").items():
        if (listener["port"], listener["protocol"]) != (443, "HTTPS"):
            yield f"{name} listens on {listener['port']}"


def each_is_reached_by_its_neighbour_alone(said):
    rules = said.of("aws_vpc_security_group_ingress_rule")
    for name, neighbour in (("host_from_load_balancer", LOAD_BALANCER), ("from_hosts", HOST)):
        if rules[name].get("referenced_security_group_id") != neighbour:
            yield f"{name} lets in others"
    if rules.keys() != {"site", "host_from_load_balancer", "from_hosts"}:
        yield "there are other ways in"
    if any(rule.get("from_port") == 22 for rule in rules.values()):
        yield "SSH is open"


def no_key_is_anywhere(said):
    for name, text in said.texts.items():
        if re.search(r"access_key|secret_key|aws_iam_user|shared_credentials|\bAKIA[0-9A-Z]{16}", text):
            yield f"{name} has a key"


def nothing_is_allowed_wholesale(said):
    for document, statement in said.statements():
        is_deny = statement.get("effect") == "Deny"
        is_key_owner = document == "key" and statement["sid"] == "Account"
        if any("*" in action for action in statement["actions"]) and not (is_deny or is_key_owner):
            yield f"{document}.{statement.get('sid')} allows a whole service"
        is_everything = statement.get("resources") == ["*"] and document != "key"  # a key's policy speaks of that key
        if is_everything and not (is_deny or {*statement["actions"]} <= NOT_NARROWER):
            yield f"{document}.{statement.get('sid')} allows it of everything"
    for name, attached in said.of("aws_iam_role_policy_attachment").items():
        if not attached["policy_arn"].endswith(":iam::aws:policy/AmazonSSMManagedInstanceCore"):
            yield f"{name} attaches another managed policy"


def the_role_deletes_input_and_exports_only(said):
    granted = {}
    for _, statement in said.statements("bucket"):
        if "delet" in repr(statement["actions"]).lower() and statement.get("effect") != "Deny":
            granted[statement["sid"]] = statement["resources"]
    bucket = "${data.aws_s3_bucket.app.arn}/${local.prefix."
    if granted != {"TakeFromInput": [bucket + "input}*"], "ForgetExports": [bucket + "exports}*"]}:
        yield "deletes elsewhere"
    denied = [one for _, one in said.statements("bucket") if one.get("effect") == "Deny"]
    if [one["resources"] for one in denied] != [[bucket + "seals}*"]]:
        yield "seals may be deleted"


def the_apps_bucket_is_only_looked_at(said):
    for type_, name, body in said.types():
        if type_.startswith("aws_s3") and any(word in repr(body) for word in APP):
            yield f"{type_}.{name} changes it"
    if said.of("aws_s3_bucket", "data").get("app", {}).get("bucket") != "${var.s3_bucket_name}":
        yield "it is not looked at"


def our_buckets_are_closed(said):
    buckets = {name for type_, name, _ in said.types() if type_ == "aws_s3_bucket"}
    (ours,) = re.findall(r"ours\s+= \{(.*)\}", said.texts["storage.tf"])
    if {*re.findall(r"aws_s3_bucket\.(\w+)", ours)} != buckets:
        yield "local.ours misses one"
    whole = {"for_each": "${local.ours}", "bucket": "${each.value.id}"}
    block = said.of("aws_s3_bucket_public_access_block")["ours"]
    wanted = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    if not all(block.get(name) is True for name in wanted):
        yield "public access is not blocked"
    for kind in ("public_access_block", "server_side_encryption_configuration", "versioning", "ownership_controls"):
        (body,) = said.of(f"aws_s3_bucket_{kind}").values()
        if not whole.items() <= body.items():
            yield f"{kind} is not of every bucket"
    for kind in ("policy", "lifecycle_configuration"):
        if said.of(f"aws_s3_bucket_{kind}").keys() != buckets:
            yield f"{kind} is not of every bucket"
    (tls,) = (one for name, one in said.statements("tls_only"))
    if tls["effect"] != "Deny" or tls["condition"][0]["variable"] != "aws:SecureTransport":
        yield "plain HTTP is taken"


def the_database_is_private_sealed_and_hard_to_lose(said):
    database = said.of("aws_db_instance")["main"]
    wanted = {
        "publicly_accessible": False,
        "storage_encrypted": True,
        "kms_key_id": "${aws_kms_key.main.arn}",
        "multi_az": "${local.is_production}",
        "deletion_protection": "${local.is_production}",
        "skip_final_snapshot": "${!local.is_production}",
        "backup_retention_period": "${var.backup_retention_days}",
        "vpc_security_group_ids": ["${aws_security_group.database.id}"],
        "performance_insights_kms_key_id": "${aws_kms_key.main.arn}",
        "enabled_cloudwatch_logs_exports": ["postgresql", "upgrade"],
    }
    for name, value in wanted.items():
        if database.get(name) != value:
            yield f"{name} is {database.get(name)!r}"
    if "aws_subnet.private[zone].id" not in repr(said.of("aws_db_subnet_group")["main"]["subnet_ids"]):
        yield "it is in a public subnet"
    if said.all("locals")["of_the_server"].get("rds.force_ssl") != "1":
        yield "TLS is not forced"
    if said.all("locals")["of_the_server"].get("shared_preload_libraries") != "pg_stat_statements":
        yield "auto_explain may be loaded"


def the_database_writes_no_patient_into_its_log(said):
    quiet = said.all("locals")["quiet"]
    if quiet != QUIET:
        yield f"is not as medilink/server_log.py: {quiet}"
    if "merge(local.quiet, local.of_the_server)" not in said.texts["database.tf"]:
        yield "is not set"


def the_broker_is_encrypted_and_asks_for_a_password(said):
    broker = said.of("aws_elasticache_replication_group")["broker"]
    if not (broker.get("transit_encryption_enabled") and broker.get("at_rest_encryption_enabled")):
        yield "not encrypted"
    if broker.get("transit_encryption_mode") != "required" or "auth_token" not in broker:
        yield "takes anybody"


def secrets_do_not_lie_in_the_state(said):
    for name, version in said.of("aws_secretsmanager_secret_version").items():
        if "secret_string" in version and name != "broker":  # database.tf says why that one
            yield f"{name} is in the state"
    if {"password", "manage_master_user_password"} & said.of("aws_db_instance")["main"].keys():
        yield "the database's password is in the state, or changes by itself"
    if said.all("variable")["db_password"].get("ephemeral") is not True:
        yield "db_password is in the plan"
    for name, secret in said.of("aws_secretsmanager_secret").items():
        if secret.get("kms_key_id") != "${aws_kms_key.main.arn}":
            yield f"{name} is not under our key"


def hosts_give_their_role_to_nobody_else(said):
    template = said.of("aws_launch_template")["host"]
    (metadata,) = template["metadata_options"]
    if (metadata.get("http_tokens"), metadata.get("http_put_response_hop_limit")) != ("required", 2):
        yield "IMDSv2 is not required, or does not reach containers"
    (device,) = template["block_device_mappings"]
    if device["ebs"][0].get("encrypted") is not True:
        yield "the disk is not encrypted"
    if said.of("aws_autoscaling_group")["host"].get("max_size") != 1:
        yield "two machines may be the first host, with a beat each"


def the_site_speaks_modern_tls_and_logs_no_address(said):
    policy = said.of("aws_lb_listener")["site"].get("ssl_policy", "")
    if not policy.startswith("ELBSecurityPolicy-TLS13-1-2-"):
        yield f"{policy} is old"
    balancer = said.of("aws_lb")["site"]
    if "access_logs" in balancer:
        yield "addresses of the desk's searches, with names, are logged"
    if "connection_logs" not in balancer or balancer.get("drop_invalid_header_fields") is not True:
        yield "connections are not logged, or odd headers passed on"


def logs_end_and_are_sealed(said):
    for name, group in said.of("aws_cloudwatch_log_group").items():
        if not group.get("retention_in_days") or group.get("kms_key_id") != "${aws_kms_key.main.arn}":
            yield f"{name} is kept for ever, or in clear"
    if "kms_master_key_id" not in said.of("aws_sns_topic")["alarms"]:
        yield "alarms are in clear"
    if said.of("aws_kms_key")["main"].get("enable_key_rotation") is not True:
        yield "the key stays the same"


def the_promised_alarms_are_there(said):
    text = said.texts["alarms.tf"]
    for name in ("host-disk", "host-cpu-", "database-disk", "database-cpu", "database-connections", "hosts-unhealthy"):
        if name not in text:
            yield f"{name} is missing"
    (night,) = re.findall(r"no-good-run = \{(.*?)\n +\}\n", text, re.DOTALL)
    if "over = 26 * 3600," not in night or 'missing = "breaching"' not in night:
        yield "no good run in 26 hours is not told, or silence is taken for good news"


def names_are_those_of_the_contract(said):
    found = {"variables": said.all("variable"), "outputs": said.all("output")}
    for kind, wanted in CONTRACT.items():
        if found[kind].keys() != wanted | OURS[kind]:
            yield f"{kind}: {found[kind].keys() ^ (wanted | OURS[kind])}"
    for name, body in [*found["variables"].items(), *found["outputs"].items()]:
        if not body.get("description"):
            yield f"{name} has no description"
    for name, body in found["variables"].items():
        if "type" not in body or not (name in FREE or "validation" in body):
            yield f"{name} has no type, or takes anything"
    if any(
        "default" in found["variables"][name]
        for name in ("aws_region", "allowed_cidr_blocks")
        if name in found["variables"]
    ):
        yield "a border or a door has a default"


RULES = [
    world_reaches_443_alone,
    each_is_reached_by_its_neighbour_alone,
    no_key_is_anywhere,
    nothing_is_allowed_wholesale,
    the_role_deletes_input_and_exports_only,
    the_apps_bucket_is_only_looked_at,
    our_buckets_are_closed,
    the_database_is_private_sealed_and_hard_to_lose,
    the_database_writes_no_patient_into_its_log,
    the_broker_is_encrypted_and_asks_for_a_password,
    secrets_do_not_lie_in_the_state,
    hosts_give_their_role_to_nobody_else,
    the_site_speaks_modern_tls_and_logs_no_address,
    logs_end_and_are_sealed,
    the_promised_alarms_are_there,
    names_are_those_of_the_contract,
]
BREAKS = [
    (
        world_reaches_443_alone,
        "network.tf",
        '= each.value\n  ip_protocol       = "tcp"\n  from_port         = 443',
        '= each.value\n  ip_protocol       = "tcp"\n  from_port         = 22',
    ),
    (world_reaches_443_alone, "network.tf", "cidr_ipv4         = each.value", 'cidr_ipv4         = "0.0.0.0/0"'),
    (
        world_reaches_443_alone,
        "service.tf",
        '= 443\n  protocol          = "HTTPS"',
        '= 80\n  protocol          = "HTTP"',
    ),
    (
        each_is_reached_by_its_neighbour_alone,
        "network.tf",
        '"From the hosts"\n  referenced_security_group_id = aws_security_group.host.id',
        '"From the hosts"\n  cidr_ipv4 = var.vpc_cidr',
    ),
    (no_key_is_anywhere, "versions.tf", "  region = var.aws_region", '  region = var.aws_region\n  access_key = "x"'),
    (nothing_is_allowed_wholesale, "identity.tf", '"s3:GetObject", "s3:GetObjectVersion"', '"s3:*"'),
    (nothing_is_allowed_wholesale, "identity.tf", "[aws_ecr_repository.site.arn]", '["*"]'),
    (
        the_role_deletes_input_and_exports_only,
        "identity.tf",
        '"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"',
        '"s3:PutObject", "s3:DeleteObject"',
    ),
    (the_role_deletes_input_and_exports_only, "identity.tf", 'effect    = "Deny"', 'effect    = "Allow"'),
    (
        the_apps_bucket_is_only_looked_at,
        "storage.tf",
        "bucket = aws_s3_bucket.logs.id\n  policy",
        "bucket = data.aws_s3_bucket.app.id\n  policy",
    ),
    (the_apps_bucket_is_only_looked_at, "storage.tf", 'data "aws_s3_bucket" "app"', 'resource "aws_s3_bucket" "app"'),
    (our_buckets_are_closed, "storage.tf", "block_public_policy     = true", "block_public_policy     = false"),
    (our_buckets_are_closed, "storage.tf", ", logs = aws_s3_bucket.logs }", " }"),
    (our_buckets_are_closed, "storage.tf", "aws:SecureTransport", "aws:SourceVpc"),
    (
        the_database_is_private_sealed_and_hard_to_lose,
        "database.tf",
        "publicly_accessible    = false",
        "publicly_accessible    = true",
    ),
    (
        the_database_is_private_sealed_and_hard_to_lose,
        "database.tf",
        "storage_encrypted     = true",
        "storage_encrypted     = false",
    ),
    (
        the_database_is_private_sealed_and_hard_to_lose,
        "database.tf",
        '"rds.force_ssl"          = "1"',
        '"rds.force_ssl"          = "0"',
    ),
    (
        the_database_is_private_sealed_and_hard_to_lose,
        "database.tf",
        "deletion_protection       = local.is_production",
        "deletion_protection       = false",
    ),
    (the_database_writes_no_patient_into_its_log, "database.tf", '= "none"', '= "all"'),
    (the_broker_is_encrypted_and_asks_for_a_password, "database.tf", '"required"', '"preferred"'),
    (secrets_do_not_lie_in_the_state, "database.tf", "secret_string_wo = jsonencode", "secret_string = jsonencode"),
    (secrets_do_not_lie_in_the_state, "variables.tf", "ephemeral   = true", "ephemeral   = false"),
    (hosts_give_their_role_to_nobody_else, "service.tf", '"required"', '"optional"'),
    (hosts_give_their_role_to_nobody_else, "service.tf", "= 1\n  vpc_zone", "= 2\n  vpc_zone"),
    (the_site_speaks_modern_tls_and_logs_no_address, "service.tf", "TLS13-1-2-Res-2021-06", "2016-08"),
    (the_site_speaks_modern_tls_and_logs_no_address, "service.tf", "connection_logs {", "access_logs {"),
    (logs_end_and_are_sealed, "alarms.tf", "  retention_in_days = local.log_days\n", ""),
    (the_promised_alarms_are_there, "alarms.tf", "26 * 3600", "260 * 3600"),
    (names_are_those_of_the_contract, "variables.tf", 'variable "tags"', 'variable "labels"'),
    (names_are_those_of_the_contract, "outputs.tf", 'output "api_url"', 'output "api"'),
    (
        names_are_those_of_the_contract,
        "variables.tf",
        'assumes it."\n  type        = string',
        'assumes it."\n  type        = string\n  default     = "eu-west-1"',
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_terraform_keeps_the_rule(rule):
    assert [*rule(Configuration())] == []


@pytest.mark.parametrize(("rule", "file", "old", "new"), BREAKS, ids=lambda told: getattr(told, "__name__", ""))
def test_the_rule_fails_on_files_that_break_it(rule, file, old, new):
    text = (FOLDER / file).read_text()
    assert old in text
    assert [*rule(Configuration(**{file.replace(".tf", "_tf"): text.replace(old, new)}))]


def test_each_rule_is_broken_once():
    assert {rule for rule, *_ in BREAKS} == {*RULES}


def test_the_example_has_a_line_on_each_variable():
    lines = (FOLDER / "terraform.tfvars.example").read_text().splitlines()
    named = {match[2]: match[1] for line in lines if (match := re.match(r"(#?)([a-z0-9_]+)\s+= ", line))}
    variables = Configuration().all("variable")
    assert named.keys() == variables.keys()
    assert {name for name, mark in named.items() if not mark} == {
        n for n, body in variables.items() if "default" not in body
    }


def test_no_file_is_longer_than_a_newcomer_reads():
    assert all(len(path.read_text().splitlines()) <= 310 for path in FOLDER.iterdir() if path.suffix in (".tf", ".sh"))
