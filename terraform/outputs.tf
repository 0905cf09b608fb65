output "ec2_public_ip" {
  description = "Address from which the first host calls others (for their allow-lists). Nothing listens there."
  value       = aws_eip.first_host.public_ip
}

output "rds_endpoint" {
  description = "Host and port of the database, reached by the hosts alone."
  value       = aws_db_instance.main.endpoint
}

output "s3_bucket_name" {
  description = "The web app's bucket, into which it delivers."
  value       = data.aws_s3_bucket.app.bucket
}

output "api_url" {
  description = "Where the API begins."
  value       = "https://${var.domain_name}/api/"
}

output "admin_url" {
  description = "The stewards' desk."
  value       = "https://${var.domain_name}/admin/"
}

output "dns_records" {
  description = "CNAME records that whoever keeps the domain has to make: the certificate's proof, and the site."
  value = merge(
    { for proof in aws_acm_certificate.site.domain_validation_options : proof.resource_record_name => proof.resource_record_value },
    { (var.domain_name) = aws_lb.site.dns_name }
  )
}
