"""A stand-in for 7Targets in the stage's own account: the sandbox (local/sandbox) as a function."""

import json
from typing import cast

from aws_cdk import Acknowledgment, CfnOutput, Duration, Fn, RemovalPolicy, Stack, Validations
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .config import DeploymentConfig
from .delivery_stack import environment
from .encryption import USE_BY_A_FUNCTION, key_of_the_settings
from .lead_delivery import apply_to_all
from .lead_function import FOR_THIS_ACCOUNT_ONLY

# Longer than the longest delay that the sandbox plays (local/sandbox/dynamodb_store.py).
_TIMEOUT = Duration.seconds(60)
_NAMES = {"client_id": "sandbox", "user_identifier": "sandbox@example.com"}


class SandboxStack(Stack):
    """What a stage with `leadsApi` "sandbox" delivers to, so that nobody gets an e-mail; all goes with it.

    `secret` holds credentials made at the deployment, which both functions read.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, code: lambda_.Code
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=environment(config),
            stack_name=f"{config.name_prefix}LeadSandbox-{config.stage}",
            description=f"Stands in for 7Targets: its leads get no e-mails ({config.stage})",
            tags=dict(config.tags),
        )
        self._key = key_of_the_settings(self, config)
        self.secret = self._secret()
        table = self._table()
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.TWO_WEEKS,
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="local.sandbox.function.handler",
            code=code,
            role=self._role(config, table, log_group).without_policy_updates(),
            log_group=log_group,
            memory_size=512,
            timeout=_TIMEOUT,
            environment={"TABLE": table.table_name, "SECRET_ID": self.secret.secret_arn},
            environment_encryption=self._key,
        )
        # The function refers to its role already, and cfn-lint warns of saying so twice.
        cast(lambda_.CfnFunction, self.function.node.default_child).add_deletion_override("DependsOn")
        Validations.of(self.function).acknowledge(
            Acknowledgment(
                id="AwsSolutions-L1", reason="The bundle is compiled for Python 3.13 and tested with it."
            )
        )
        apply_to_all(self, config)
        # Without the slash at its end, which CloudFormation gives to a function URL only.
        self.url = f"https://{Fn.select(2, Fn.split('/', self._address(config)))}"
        for name, value in {
            "Url": self.url,
            "FunctionName": self.function.function_name,
            "SecretName": self.secret.secret_arn,
        }.items():
            CfnOutput(self, name, value=value)

    def _address(self, config: DeploymentConfig) -> str:
        """Open to the internet, as the leads API is: the sandbox checks the access token of each call."""
        if config.sandbox_endpoint == "functionUrl":
            return self.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE).url
        api = apigateway.HttpApi(
            self,
            "HttpApi",
            default_integration=integrations.HttpLambdaIntegration("Integration", self.function),
        )
        Validations.of(api).acknowledge(
            Acknowledgment(id="AwsSolutions-APIG1", reason="The sandbox keeps each request that it got."),
            Acknowledgment(id="AwsSolutions-APIG4", reason="The sandbox checks the access token itself."),
        )
        return api.api_endpoint

    def _secret(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "Credentials",
            description="Made up for the sandbox: good for nothing else",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps(_NAMES),
                generate_string_key="client_secret",
                exclude_punctuation=True,
            ),
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(id="AwsSolutions-SMG4", reason="It opens nothing but the sandbox.")
        )
        return secret

    def _table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="kind", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expiresAt",
            encryption_key=self._key,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=RemovalPolicy.DESTROY,
        )
        Validations.of(table).acknowledge(
            Acknowledgment(id="AwsSolutions-DDB3", reason="A sandbox's leads may go.")
        )
        return table

    def _role(self, config: DeploymentConfig, table: dynamodb.Table, log_group: logs.LogGroup) -> iam.Role:
        allowed = {
            table.table_arn: (
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:Scan",
                "dynamodb:UpdateItem",
            ),
            self.secret.secret_arn: ("secretsmanager:GetSecretValue",),
            log_group.log_group_arn: ("logs:CreateLogStream", "logs:PutLogEvents"),
        }
        if self._key:
            allowed[self._key.key_arn] = USE_BY_A_FUNCTION
        statements = [
            iam.PolicyStatement(actions=list(actions), resources=[resource])
            for resource, actions in allowed.items()
        ]
        return iam.Role(
            self,
            "Role",
            path=config.role_path or None,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com", conditions=FOR_THIS_ACCOUNT_ONLY),
            inline_policies={"Sandbox": iam.PolicyDocument(statements=statements)},
        )
