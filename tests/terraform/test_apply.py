"""Terraform itself: format, the real provider's opinion, values that are refused, and an apply against moto.

What moto does not know of the provider's is left out or not compared, by MOTO below; everything else is made, found
unchanged by a second plan, and destroyed. Nothing is fetched: without the provider's folder these tests are skipped.
"""

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError

from tests.terraform.reading import FOLDER

REGION, APP_BUCKET = "af-south-1", "the-apps-bucket"
KEY = "medical_records/input/patients.csv"
GIVEN = {
    "aws_region": REGION,
    "environment": "production",
    "allowed_cidr_blocks": ["196.0.0.0/16"],
    "domain_name": "medilink.example.org",
    "s3_bucket_name": APP_BUCKET,
}
MOTO = """
provider "aws" {
  s3_use_path_style = true
}

# Not in moto: parameter groups of ElastiCache, the members of a replication group, and an end of its subnet groups.
resource "aws_elasticache_parameter_group" "broker" {
  count = 0
}

resource "aws_elasticache_replication_group" "broker" {
  count                = 0
  parameter_group_name = null
  subnet_group_name    = null
}

resource "aws_elasticache_subnet_group" "main" {
  count = 0
}

resource "aws_secretsmanager_secret_version" "broker" {
  secret_string = "rediss://broker.example:6379/0"
}

# It lists a template's own tags among those of its machines.
resource "aws_launch_template" "host" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}

# Taken by moto and forgotten: parameters, Performance Insights, what a rule between two groups is for.
resource "aws_db_parameter_group" "main" {
  lifecycle {
    ignore_changes = [parameter]
  }
}

resource "aws_db_instance" "main" {
  lifecycle {
    ignore_changes = [
      performance_insights_enabled, performance_insights_kms_key_id, performance_insights_retention_period
    ]
  }
}

resource "aws_vpc_security_group_egress_rule" "host_behind" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_hosts" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "from_hosts" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "host_from_load_balancer" {
  lifecycle {
    ignore_changes = [description]
  }
}
"""


class Terraform:
    """In a folder of its own, and asked without a word to the network."""

    def __init__(self, folder, **environment):
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = kept | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"} | environment

    def __call__(self, *words, fails=False, codes=(0,)):
        done = subprocess.run(
            ["terraform", *words], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert fails or done.returncode in codes, (done.stdout + done.stderr)[-4000:]
        return done

    def plan(self, *words, **values):
        (self.folder / "given.auto.tfvars.json").write_text(json.dumps(GIVEN | values))
        return self("plan", "-no-color", "-input=false", *words, fails=True)


@pytest.fixture(scope="module")
def program():
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed: terraform/ was read by the policy tests only")


@pytest.fixture(scope="module")
def plugins(program):
    folder = Path(os.environ.get("TERRAFORM_PLUGIN_DIR", "/opt/tf-plugins"))
    if not (folder / "registry.terraform.io/hashicorp/aws").is_dir():
        pytest.skip(f"no AWS provider in {folder} (TERRAFORM_PLUGIN_DIR): terraform/ was neither validated nor applied")
    return folder


@pytest.fixture(scope="module")
def copied(plugins, tmp_path_factory):
    """The files as they lie in a clone, initialised."""
    root = tmp_path_factory.mktemp("clone")
    shutil.copytree(FOLDER, root / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars"))
    for name in ("docker-compose.yml", "pyproject.toml"):
        shutil.copy(FOLDER.parent / name, root)
    Terraform(root / "terraform")("init", "-backend=false", f"-plugin-dir={plugins}")
    return root / "terraform"


def test_the_files_are_formatted(program):
    assert Terraform(FOLDER)("fmt", "-check", "-diff", "-recursive").stdout == ""


@pytest.mark.drill
def test_the_provider_finds_the_files_valid(copied):
    assert "Success!" in Terraform(copied)("validate", "-no-color").stdout


# --- Values that do harm


@pytest.fixture(scope="module")
def variables(program, tmp_path_factory):
    """The variables alone need no provider."""
    folder = tmp_path_factory.mktemp("variables")
    shutil.copy(FOLDER / "variables.tf", folder)
    return Terraform(folder)


REFUSED = [
    ({"aws_region": "Cape Town"}, "aws_region must be the name of a region"),
    ({"project_name": "Medilink_2"}, "project_name must have at most 20"),
    ({"project_name": "a-name-that-is-too-long-for-a-bucket"}, "project_name must have at most 20"),
    ({"environment": "prod"}, "environment must be dev, staging or production"),
    ({"vpc_cidr": "8.8.0.0/16"}, "vpc_cidr must be a private IPv4 block"),
    ({"vpc_cidr": "10.0.0.0/24"}, "vpc_cidr must be a private IPv4 block"),
    ({"availability_zones": ["af-south-1a"]}, "availability_zones must name two to eight"),
    ({"availability_zones": ["eu-west-1a", "eu-west-1b"]}, "must be different zones of aws_region"),
    ({"ec2_instance_type": "t3.micro"}, "ec2_instance_type must be a type of size large"),
    ({"allowed_cidr_blocks": []}, "allowed_cidr_blocks must name at least one"),
    ({"allowed_cidr_blocks": ["::/0"]}, "allowed_cidr_blocks must name at least one"),
    ({"allowed_cidr_blocks": ["0.0.0.0/0"], "environment": "staging"}, "may be 0.0.0.0/0 in production"),
    ({"allowed_cidr_blocks": ["0.0.0.0/1", "128.0.0.0/1"]}, "may be 0.0.0.0/0 in production"),
    ({"domain_name": "https://medilink.example.org"}, "domain_name must be a bare host name"),
    ({"db_instance_class": "db.t4g.micro"}, "db_instance_class must be a class of size medium"),
    ({"db_name": "postgres"}, "db_name must have small letters"),
    ({"db_username": "medilink_web"}, "db_username must have small letters"),
    ({"db_password": "short"}, "db_password must have 16 to 128"),
    ({"db_allocated_storage": 5}, "db_allocated_storage must be 20"),
    ({"db_engine_version": "15"}, "db_engine_version must be PostgreSQL 17"),
    ({"backup_retention_days": 0, "environment": "dev"}, "backup_retention_days must be 1 to 35"),
    ({"backup_retention_days": 3}, "at least 7 in production"),
    ({"s3_bucket_name": "Not A Bucket"}, "s3_bucket_name must be the name of a bucket"),
    ({"image": "medilink"}, "image must name its tag or digest"),
    ({"alert_email": "nobody"}, "alert_email must be one address"),
]


@pytest.mark.drill
@pytest.mark.parametrize(("value", "words"), REFUSED, ids=lambda told: str(told)[:40])
def test_a_value_that_does_harm_is_refused_with_the_reason(variables, value, words):
    done = variables.plan(**value)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.drill
@pytest.mark.parametrize("value", [{}, {"allowed_cidr_blocks": ["0.0.0.0/0"]}, {"db_engine_version": "17.6"}])
def test_a_value_that_does_none_is_taken(variables, value):
    assert variables.plan(**value).returncode == 0


# --- Against moto


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """moto with the web app's bucket, and one delivery in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=log,
        stderr=log,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        session = boto3.session.Session("testing", "testing", region_name=REGION)

        def client(service):
            return session.client(service, endpoint_url=url)

        client.url = url
        for attempt in range(120):
            try:
                client("s3").create_bucket(Bucket=APP_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
                break
            except BotoCoreError:
                assert server.poll() is None
                assert attempt < 119
                time.sleep(0.25)
        client("s3").put_object(Bucket=APP_BUCKET, Key=KEY, Body=b"delivered")
        yield client
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture(scope="module")
def terraform(copied, aws):
    (copied / "moto_override.tf").write_text(MOTO)
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}  # pragma: allowlist secret
    yield Terraform(copied, AWS_ENDPOINT_URL=aws.url, AWS_EC2_METADATA_DISABLED="true", **keys)
    (copied / "moto_override.tf").unlink()


def planned(terraform, **values):
    """Resources of a plan, by address."""
    done = terraform.plan("-out=planned", **values)
    assert done.returncode == 0, done.stderr[-4000:]
    shown = json.loads(terraform("show", "-json", "planned").stdout)
    return {one["address"]: one.get("values") for one in shown["planned_values"]["root_module"]["resources"]}


@pytest.mark.drill
def test_production_is_doubled_and_resists_deletion(terraform):
    resources = planned(terraform)
    database = resources["aws_db_instance.main"]
    wanted = {"multi_az": True, "deletion_protection": True, "skip_final_snapshot": False, "publicly_accessible": False}
    assert wanted.items() <= database.items()
    assert resources["aws_lb.site"]["enable_deletion_protection"] is True
    assert {name for name in resources if name.startswith("aws_autoscaling_group")} == {
        'aws_autoscaling_group.host["first"]',
        'aws_autoscaling_group.host["second"]',
    }
    parameters = {one["name"]: one["value"] for one in resources["aws_db_parameter_group.main"]["parameter"]}
    assert {"rds.force_ssl": "1", "log_statement": "none"}.items() <= parameters.items()


@pytest.mark.drill
def test_a_bucket_in_another_region_is_refused(terraform):
    zones = ["eu-west-1a", "eu-west-1b"]
    done = terraform.plan(aws_region="eu-west-1", availability_zones=zones)
    assert done.returncode == 1
    assert "lies in another region than aws_region" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.drill
@pytest.mark.timeout(1500)
def test_what_is_applied_is_found_unchanged_and_destroyed_without_the_apps_bucket(terraform, aws):
    planned(terraform, environment="dev")
    terraform("apply", "-no-color", "-input=false", "-parallelism=30", "planned")
    again = terraform.plan("-detailed-exitcode", environment="dev")
    assert again.returncode == 0, again.stdout[-4000:]

    said = {name: one["value"] for name, one in json.loads(terraform("output", "-json").stdout).items()}
    assert said["s3_bucket_name"] == APP_BUCKET
    assert said["api_url"] == "https://medilink.example.org/api/"
    assert said["admin_url"] == "https://medilink.example.org/admin/"
    assert said["rds_endpoint"].endswith(":5432")
    addresses = aws("ec2").describe_addresses()["Addresses"]
    assert [one["PublicIp"] for one in addresses] == [said["ec2_public_ip"]]
    assert "medilink.example.org" in said["dns_records"]

    secrets = secrets_of(aws)
    assert len(secrets["site"]["DATA_KEYS"].partition(":")[2]) == 44
    state = (terraform.folder / "terraform.tfstate").read_text()
    assert not any(secret in state for secret in (secrets["database"], *secrets["site"].values()))
    assert boots_within_16_kb(aws)

    terraform("destroy", "-no-color", "-input=false", "-auto-approve", "-parallelism=30")
    assert terraform("state", "list").stdout == ""
    assert aws("s3").get_object(Bucket=APP_BUCKET, Key=KEY)["Body"].read() == b"delivered"
    assert [bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]] == [APP_BUCKET]


def secrets_of(aws):
    def value(name):
        return aws("secretsmanager").get_secret_value(SecretId=f"medilink-dev/{name}")["SecretString"]

    return {"site": json.loads(value("site")), "database": value("database")}


def boots_within_16_kb(aws):
    (template,) = aws("ec2").describe_launch_templates()["LaunchTemplates"]
    found = aws("ec2").describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
    packed = b64decode(found["LaunchTemplateVersions"][-1]["LaunchTemplateData"]["UserData"])
    script = gzip.decompress(packed).decode()
    return len(packed) < 16 * 1024 and script.startswith("#!/bin/bash\n") and "${services[@]}" in script
