# Buckets. The web app's is only looked at: its policy, versions and lifecycle are its owner's. Ours are two: backups, and
# what the network writes about itself.

data "aws_s3_bucket" "app" {
  bucket = var.s3_bucket_name

  lifecycle {
    postcondition {
      condition     = self.region == var.aws_region
      error_message = "The bucket s3_bucket_name lies in another region than aws_region: files would cross a border every night."
    }
  }
}

locals {
  # As the settings name them; archive and held of one bucket, so that a file is moved without leaving S3.
  prefix = {
    input       = "medical_records/input/"
    archive     = "medical_records/archive/"
    held        = "medical_records/held/"
    corrections = "medical_records/corrections/"
    seals       = "medical_records/seals/"
    exports     = "fhir_exports/"
  }
  ours = { backups = aws_s3_bucket.backups, logs = aws_s3_bucket.logs }
}

resource "aws_s3_bucket" "backups" {
  bucket              = "${local.name}-backups-${local.account}"
  object_lock_enabled = true
}

# Load balancer and flow logs: of a bucket of its own, since services of AWS may write there.
resource "aws_s3_bucket" "logs" {
  bucket = "${local.name}-logs-${local.account}"
}

resource "aws_s3_bucket_public_access_block" "ours" {
  for_each = local.ours

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "ours" {
  for_each = local.ours

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# S3's own key: the load balancer can write with no other, and backups are sealed with DATA_KEYS before they come here.
resource "aws_s3_bucket_server_side_encryption_configuration" "ours" {
  for_each = local.ours

  bucket = each.value.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "ours" {
  for_each = local.ours

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

# Whoever took over a host, or an administrator's log-in, cannot take the backups of this month with him.
resource "aws_s3_bucket_object_lock_configuration" "backups" {
  bucket = aws_s3_bucket.backups.id

  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = 30
    }
  }

  depends_on = [aws_s3_bucket_versioning.ours]
}

# Half a year, as refused cells are kept (`manage.py purge`): what is forgotten there must not live on here.
resource "aws_s3_bucket_lifecycle_configuration" "backups" {
  bucket = aws_s3_bucket.backups.id

  rule {
    id     = "colder, then gone"
    status = "Enabled"

    filter {}

    transition {
      days          = 30
      storage_class = "STANDARD_IA"
    }

    transition {
      days          = 90
      storage_class = "GLACIER_IR"
    }

    expiration {
      days = 180
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  depends_on = [aws_s3_bucket_versioning.ours]
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    id     = "a year"
    status = "Enabled"

    filter {}

    transition {
      days          = 30
      storage_class = "STANDARD_IA"
    }

    expiration {
      days = 365
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  depends_on = [aws_s3_bucket_versioning.ours]
}

resource "aws_s3_bucket_policy" "backups" {
  bucket = aws_s3_bucket.backups.id
  policy = data.aws_iam_policy_document.tls_only["backups"].json
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id
  policy = data.aws_iam_policy_document.logs.json
}

data "aws_iam_policy_document" "tls_only" {
  for_each = local.ours

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

data "aws_iam_policy_document" "logs" {
  source_policy_documents = [data.aws_iam_policy_document.tls_only["logs"].json]

  statement {
    sid       = "LoadBalancer"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.logs.arn}/connections/AWSLogs/${local.account}/*"]

    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }

  statement {
    sid       = "FlowLogs"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.logs.arn}/AWSLogs/${local.account}/*"]

    principals {
      type        = "Service"
      identifiers = ["delivery.logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "FlowLogsLook"
    actions   = ["s3:GetBucketAcl", "s3:ListBucket"]
    resources = [aws_s3_bucket.logs.arn]

    principals {
      type        = "Service"
      identifiers = ["delivery.logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}
