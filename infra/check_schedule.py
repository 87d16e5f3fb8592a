"""The schedule on which the function checks what a delivery needs, without a lead."""

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from constructs import Construct

from deliver_leads.contract import CHECK_EVENT


class CheckSchedule(Construct):
    """Invokes the function with the check event, the first time one interval after the deployment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        function: lambda_.Function,
        minutes: int,
        role_path: str,
    ) -> None:
        super().__init__(scope, construct_id)
        group = scheduler.ScheduleGroup(self, "Group", removal_policy=RemovalPolicy.DESTROY)
        # AWS wants the group's ARN here, not the schedule's.
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        mine = {"aws:SourceAccount": Aws.ACCOUNT_ID, "aws:SourceArn": group.schedule_group_arn}
        invoke = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn])
        role = iam.Role(
            self,
            "Role",
            path=role_path or None,
            assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com", conditions={"StringEquals": mine}),
            inline_policies={"Check": iam.PolicyDocument(statements=[invoke])},
        )
        target = targets.LambdaInvoke(
            function,
            # The role is passed without updates, because the target would add all of the function's versions
            # and aliases.
            role=role.without_policy_updates(),
            input=scheduler.ScheduleTargetInput.from_object(CHECK_EVENT),
            # The next check is worth more than one that comes late.
            retry_attempts=0,
            max_event_age=Duration.minutes(1),
        )
        scheduler.Schedule(
            self,
            "Schedule",
            schedule=scheduler.ScheduleExpression.rate(Duration.minutes(minutes)),
            schedule_group=group,
            target=target,
            description=f"Checks what {Stack.of(self).stack_name} needs to deliver leads",
        )
