#!/bin/bash
# Makes a bare Amazon Linux 2023 an application host. It may run again at any time; each start of the machine only does
# what stands in /opt/medilink/start. No secret is in here: the host's role fetches them, and they end in one file.
#
# The lines with braces are filled in by Terraform (service.tf); below them are only plain $names.
# shellcheck disable=SC2269,SC2016
set -euo pipefail
umask 077

name="${name}"
region="${region}"
image="${image}"
is_first="${is_first}"
address="${address}"
namespace="${namespace}"
log_group="${log_group}"
site_secret="${site_secret}"
database_secret="${database_secret}"
database="${database}"
broker_secret="${broker_secret}"
settings="${settings}"
compose_file="${compose_file}"

compose_version=2.38.2
compose_x86_64=486b3ffc0f806ca2efbc430cef89955386011662f0c76bad17c103d059cfa9cf
compose_aarch64=4d0f7678dd3338452beba4518e36a8e22b20cad79ba2535c687da554dc3997fb

# --- Programs

# This runs once in the machine's life: a mirror that is busy at that moment must not leave a host without anything.
for pause in 10 30 60 120 0; do
  if dnf install --quiet --assumeyes docker jq amazon-cloudwatch-agent; then break; fi
  if [ "$pause" = 0 ]; then exit 1; fi
  sleep "$pause"
done
systemctl enable --now docker

machine=$(uname -m)
expected=$compose_x86_64
if [ "$machine" = aarch64 ]; then expected=$compose_aarch64; fi
plugin=/usr/local/lib/docker/cli-plugins/docker-compose
if ! echo "$expected  $plugin" | sha256sum --check --status 2>/dev/null; then
  install -d -m 755 /usr/local/lib/docker /usr/local/lib/docker/cli-plugins
  curl --fail --silent --show-error --location --retry 5 --output "$plugin.new" \
    "https://github.com/docker/compose/releases/download/v$compose_version/docker-compose-linux-$machine"
  echo "$expected  $plugin.new" | sha256sum --check --quiet
  chmod 755 "$plugin.new"
  mv "$plugin.new" "$plugin"
fi

# --- What the host knows of itself

install -d -m 700 /opt/medilink
cd /opt/medilink
base64 --decode <<< "$compose_file" | gunzip > docker-compose.yml
base64 --decode <<< "$settings" > settings.env
cat > names <<END
name=$name
region=$region
image=$image
is_first=$is_first
address=$address
namespace=$namespace
site_secret=$site_secret
database_secret=$database_secret
database=$database
broker_secret=$broker_secret
END

# --- At each start

cat > start <<'END'
#!/bin/bash
# Fetches the secrets, writes .env, and brings the services up; the first host also migrates, before any of them.
# Again: takes over changed secrets and another image (`systemctl restart medilink`).
set -euo pipefail
umask 077
cd /opt/medilink
. ./names
export AWS_DEFAULT_REGION=$region

secret() { aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text; }

# Between single quotes compose takes a value as it stands; what would end them is refused rather than guessed at.
as_lines() {
  jq --raw-output 'to_entries[] | .key as $key | (.value | tostring) as $value
    | if ($key | test("^[A-Z][A-Z0-9_]*$") | not) or ($value | test("[\u0027\n\\\\]")) then
        error("\($key): neither name nor value of a setting") else "\($key)=\u0027\($value)\u0027" end'
}

{
  cat settings.env
  secret "$site_secret" | jq --arg owner "$(secret "$database_secret")" --arg broker "$(secret "$broker_secret")" \
    --arg database "$database" '. + {POSTGRES_PASSWORD: $owner, REDIS_URL: $broker,
      DATABASE_WEB_URL: "postgres://medilink_web:\(.POSTGRES_WEB_PASSWORD | @uri)@\($database)"}' | as_lines
} > .env.new
mv .env.new .env

registry=$(cut -d / -f 1 <<< "$image")
if [[ $registry == *.dkr.ecr.*.amazonaws.com* ]]; then
  aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
fi
docker pull --quiet "$image"

services=(web worker proxy)
if [ "$is_first" = true ]; then
  services+=(beat)
  token=$(curl --fail --silent --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
  instance=$(curl --fail --silent --header "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/instance-id)
  # Others' allow-lists go by it; without it the site works all the same.
  aws ec2 associate-address --instance-id "$instance" --allocation-id "$address" --allow-reassociation > /dev/null \
    || echo "The address $address could not be taken: who lets in only that one will refuse this host." >&2
  docker compose run --rm --no-deps migrate
fi
up() { docker compose --profile production up --detach --no-deps --no-build "$@"; }
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$@" | sort --unique)" = healthy ]; }
# Compose replaces all of a service at once. So new ones beside the old ones, which leave when those are ready (they are
# what differs); new ones that never get ready go again, and the old ones stay at work.
old=$(docker compose ps --quiet web)
if [ -n "$old" ]; then
  up --no-recreate --scale web=$(($(wc -l <<< "$old") + 2)) web
  mapfile -t new < <(docker compose ps --quiet web | grep --invert-match --line-regexp --fixed-strings "$old")
  for try in {1..60}; do
    if healthy "$${new[@]}"; then break; fi
    if [ "$try" = 60 ]; then
      docker rm --force "$${new[@]}" > /dev/null
      echo "The new web containers do not get ready; the old ones stay. Their log, or manage.py doctor, says why." >&2
      exit 1
    fi
    sleep 3
  done
fi
up --scale web=2 "$${services[@]}"
docker image prune --force > /dev/null
END

cat > measure <<'END'
#!/bin/bash
# How long ago a night went well, for the alarm. Where none ever did nothing is said, which alarms as well.
set -euo pipefail
cd /opt/medilink
. ./names
seconds=$(docker compose exec -T worker python manage.py last_good_run)
aws cloudwatch put-metric-data --region "$region" --namespace "$namespace" \
  --metric-name medilink_last_good_run_age_seconds --unit Seconds --value "$seconds"
END
chmod 700 start measure

# --- When they run. Until there is an image to pull, `start` is tried again each minute.

cat > /etc/systemd/system/medilink.service <<'END'
[Unit]
Description=Medilink: web, worker, proxy, and on the first host beat
Requires=docker.service
After=docker.service network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/medilink/start
Restart=on-failure
RestartSec=60
TimeoutStartSec=1800

[Install]
WantedBy=multi-user.target
END

cat > /etc/systemd/system/medilink-measure.service <<'END'
[Unit]
Description=The age of the last good night, to CloudWatch

[Service]
Type=oneshot
ExecStart=/opt/medilink/measure
TimeoutStartSec=300
END

cat > /etc/systemd/system/medilink-measure.timer <<'END'
[Unit]
Description=Every ten minutes: the alarm looks at fifteen

[Timer]
OnBootSec=5min
OnUnitActiveSec=10min

[Install]
WantedBy=timers.target
END

# --- The containers' log, disk and memory

cat > /opt/aws/amazon-cloudwatch-agent/etc/medilink.json <<END
{
  "agent": {"omit_hostname": true},
  "metrics": {
    "namespace": "$namespace",
    "aggregation_dimensions": [[]],
    "metrics_collected": {
      "disk": {"measurement": ["used_percent"], "resources": ["/"], "drop_device": true},
      "mem": {"measurement": ["used_percent"]}
    }
  },
  "logs": {
    "logs_collected": {
      "files": {
        "collect_list": [
          {
            "file_path": "/var/lib/docker/containers/*/*-json.log",
            "publish_multi_logs": true,
            "log_group_name": "$log_group",
            "log_stream_name": "{instance_id}"
          },
          {
            "file_path": "/var/log/cloud-init-output.log",
            "log_group_name": "$log_group",
            "log_stream_name": "{instance_id}_boot"
          }
        ]
      }
    }
  }
}
END
/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \
  -c file:/opt/aws/amazon-cloudwatch-agent/etc/medilink.json > /dev/null

systemctl daemon-reload
systemctl enable --quiet medilink.service medilink-measure.timer
systemctl restart --no-block medilink.service
if [ "$is_first" = true ]; then systemctl start medilink-measure.timer; else systemctl disable --quiet medilink-measure.timer; fi
