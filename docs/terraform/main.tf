# A release of the lead delivery as a CloudFormation stack, from Terraform. Put the release's files beside this one.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "release" {
  description = "The release's version"
  type        = string
  default     = "0.2.0"
}

variable "bucket" {
  description = "A bucket of yours in the stage's region, for the function's zip and the template"
  type        = string
}

variable "alarm_emails" {
  description = "Who gets the alarms; each address has to be confirmed within two days"
  type        = set(string)
}

locals {
  files = {
    function = "lead-delivery-${var.release}.function.zip"
    template = "lead-delivery-${var.release}.template.json"
  }
}

resource "aws_s3_object" "file" {
  for_each    = local.files
  bucket      = var.bucket
  key         = "lead-delivery/${each.value}"
  source      = "${path.module}/${each.value}"
  source_hash = filesha256("${path.module}/${each.value}")
}

# CloudWatch writes into the topic, so it has a key of yours if it must be encrypted (docs/company.md has the statement).
resource "aws_sns_topic" "alarms" {
  name = "lead-delivery-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = var.alarm_emails
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

data "aws_s3_bucket" "files" {
  bucket = var.bucket
}

resource "aws_cloudformation_stack" "lead_delivery" {
  # The stack's name is the one that leadctl and the runbook look for.
  name         = "LeadDelivery-prod"
  capabilities = ["CAPABILITY_IAM"]
  # Larger than what CloudFormation takes as text.
  template_url = "https://${data.aws_s3_bucket.files.bucket_regional_domain_name}/${aws_s3_object.file["template"].key}"
  parameters = {
    CodeBucket = var.bucket
    CodeKey    = aws_s3_object.file["function"].key
    TopicArn   = aws_sns_topic.alarms.arn
  }

  lifecycle {
    prevent_destroy = true
  }
}

output "lead_queue_url" {
  value = aws_cloudformation_stack.lead_delivery.outputs["LeadQueueUrl"]
}

output "producer_policy_arn" {
  value = aws_cloudformation_stack.lead_delivery.outputs["ProducerPolicyArn"]
}
