# Who the hosts are, and what they may do: by a role, so that no key lies on a disk. No statement allows a whole service.
#
# Where the web app's bucket is sealed with a KMS key, that key's owner has to let this role decrypt and make data keys.

data "aws_iam_policy_document" "host_is_ec2" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "host" {
  name               = "${local.name}-host"
  description        = "The application hosts"
  assume_role_policy = data.aws_iam_policy_document.host_is_ec2.json
}

resource "aws_iam_instance_profile" "host" {
  name = "${local.name}-host"
  role = aws_iam_role.host.name
}

# Sessions instead of SSH: every one is somebody's, and is in CloudTrail.
resource "aws_iam_role_policy_attachment" "sessions" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "bucket" {
  name   = "bucket"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.bucket.json
}

resource "aws_iam_role_policy" "host" {
  name   = "host"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.host.json
}

# --- The web app's bucket, and the backups

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "LookAtBucket"
    actions   = ["s3:GetBucketVersioning"]
    resources = [data.aws_s3_bucket.app.arn]
  }

  # IfExists: only to those who may list does S3 say 404 of an object that is not there, else 403, and a HEAD has no
  # prefix. So names outside the prefixes could be listed by asking without one; what lies under them cannot be read.
  statement {
    sid       = "ListOurPrefixes"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [data.aws_s3_bucket.app.arn]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = [for prefix in values(local.prefix) : "${prefix}*"]
    }
  }

  statement {
    sid       = "ReadInput"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${data.aws_s3_bucket.app.arn}/${local.prefix.input}*"]
  }

  # After the copy in archive or held is verified, and of that very version.
  statement {
    sid       = "TakeFromInput"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${data.aws_s3_bucket.app.arn}/${local.prefix.input}*"]
  }

  statement {
    sid     = "Keep"
    actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      for name in ["archive", "held", "corrections", "seals", "exports"] :
      "${data.aws_s3_bucket.app.arn}/${local.prefix[name]}*"
    ]
  }

  # Exports are kept a day.
  statement {
    sid       = "ForgetExports"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${data.aws_s3_bucket.app.arn}/${local.prefix.exports}*"]
  }

  # Said once more than needed: neither a later statement nor another policy of this role may let the audit's seals go.
  statement {
    sid       = "NobodyForgetsSeals"
    effect    = "Deny"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${data.aws_s3_bucket.app.arn}/${local.prefix.seals}*"]
  }

  # Read for the restore drill. Deleted by the bucket's lifecycle alone.
  statement {
    sid       = "Backups"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.backups.arn}/nightly/*"]
  }

  statement {
    sid       = "ListBackups"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.backups.arn]
  }
}

# --- The host itself

locals {
  arn_of_ec2 = "arn:${data.aws_partition.current.partition}:ec2:${var.aws_region}:${local.account}"
}

data "aws_iam_policy_document" "host" {
  statement {
    sid     = "Secrets"
    actions = ["secretsmanager:GetSecretValue"]
    resources = [
      aws_secretsmanager_secret.site.arn, aws_secretsmanager_secret.database.arn, aws_secretsmanager_secret.broker.arn
    ]
  }

  statement {
    sid       = "OpenSecrets"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.aws_region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.site.arn]
  }

  statement {
    sid       = "LogInForImage"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # it knows no narrower one
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.host.arn}:*"]
  }

  statement {
    sid       = "Measures"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # it knows no narrower one than the namespace

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.namespace]
    }
  }

  # The first host takes its address with it when another machine becomes it.
  statement {
    sid     = "TakeAddress"
    actions = ["ec2:AssociateAddress"]
    resources = [
      "${local.arn_of_ec2}:elastic-ip/${aws_eip.first_host.allocation_id}",
      "${local.arn_of_ec2}:instance/*",
      "${local.arn_of_ec2}:network-interface/*",
    ]

    condition {
      test     = "StringEquals"
      variable = "ec2:ResourceTag/Name"
      values   = ["${local.name}-first"]
    }
  }
}

# --- The key: the account's administrators, and the services that write for us

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Account"
    actions   = ["kms:*"] # else nobody could ever change this policy; who in the account may, its own policies say
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.aws_region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.current.partition}:logs:${var.aws_region}:${local.account}:log-group:*"]
    }
  }

  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}
