"""What the template promises about the ways into the lead queue: buses, their rule, topics and producers."""

import json

import pytest

from app import build_stacks
from infra.bundling import LocalBundling
from infra.config import ConfigError, DeploymentConfig
from sim.synthesis import (
    Resource,
    Template,
    build,
    new_app,
    output_target,
    properties,
    resources,
    synthesise,
)
from tests.foreign_events import mappings

TOPIC = "arn:aws:sns:eu-west-1:111122223333:leads"
OTHER_TOPIC = "arn:aws:sns:eu-west-1:111122223333:more-leads"
CENTRAL = "arn:aws:events:eu-west-1:999988887777:event-bus/central"
PARTNER = "aws.partner/salesforce.com/00D000000000001AAA/0YL000000000001AAA"
OWN_TYPES = ["Lead Created", "Lead Updated", "Lead Followup Stopped"]


def rule(template: Template) -> Resource:
    """The only rule."""
    return properties(template, "AWS::Events::Rule")


def ref_or_text(part: str | dict[str, str]) -> str:
    """A part of a joined text; a reference in braces."""
    return part if isinstance(part, str) else f"{{{part['Ref']}}}"


def sns_statements(template: Template, output: str) -> list[Resource]:
    """What SNS may do with the queue behind an output."""
    return statements_for(template, output, "sns.amazonaws.com")


def statements_for(template: Template, output: str, service: str) -> list[Resource]:
    """What a service may do with the queue behind an output, in all policies that the queue has."""
    ref = {"Ref": output_target(template, output)}
    policies = [
        policy["Properties"]
        for policy in resources(template, "AWS::SQS::QueuePolicy").values()
        if ref in policy["Properties"]["Queues"]
    ]
    # SQS keeps one policy for a queue: a second one would take away EventBridge's right and the TLS rule.
    assert len(policies) == 1
    statements = policies[0]["PolicyDocument"]["Statement"]
    return [s for s in statements if s["Principal"] == {"Service": service}]


class TestOwnBus:
    """A stage without eventBusName."""

    def test_mappings_leave_the_rule_that_takes_everything_as_it_is(self) -> None:
        """One rule: a second one for a mapping would bring its events twice."""
        assert rule(synthesise(mappings=json.dumps(mappings())).delivery) == rule(synthesise().delivery)

    def test_nobody_else_may_publish_unless_a_setting_says_so(self) -> None:
        """An account's own principals need no policy of the bus."""
        assert not resources(synthesise().delivery, "AWS::Events::EventBusPolicy")

    def test_listed_accounts_and_an_organization_may_put_events_and_no_more(self) -> None:
        """Each by a statement with an id, which AWS wants for a policy's part."""
        settings = {"producerAccounts": "111122223333,444455556666", "producerOrganization": "o-a1b2c3d4e5"}
        template = synthesise(**settings).delivery
        policies = [p["Properties"] for p in resources(template, "AWS::Events::EventBusPolicy").values()]
        bus = output_target(template, "EventBusName")
        assert len({policy["StatementId"] for policy in policies}) == 2
        for policy in policies:
            assert policy["EventBusName"] == {"Ref": bus}
            statement = policy["Statement"]
            assert (statement["Effect"], statement["Action"]) == ("Allow", "events:PutEvents")
            assert statement["Resource"] == {"Fn::GetAtt": [bus, "Arn"]}
            assert statement["Sid"] == policy["StatementId"]
        by_account, by_organization = (policy["Statement"] for policy in policies)
        named = [json.dumps(principal) for principal in by_account["Principal"]["AWS"]]
        assert [account in arn for account, arn in zip(("111122223333", "444455556666"), named, strict=True)]
        assert by_organization["Principal"] == {"AWS": "*"}
        assert by_organization["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}

    def test_one_account_is_enough(self) -> None:
        """Then the organization has no statement."""
        policy = properties(
            synthesise(producerAccounts="111122223333").delivery, "AWS::Events::EventBusPolicy"
        )
        assert ":iam::111122223333:root" in json.dumps(policy["Statement"]["Principal"])
        assert "Condition" not in policy["Statement"]


class TestExistingBus:
    """A stage with eventBusName."""

    @pytest.mark.parametrize("name", ["default", PARTNER, CENTRAL])
    def test_no_bus_is_made_and_the_rule_listens_on_the_named_one(self, name: str) -> None:
        """An ARN as it is: the bare name would be a bus of this account."""
        template = synthesise(eventBusName=name).delivery
        assert not resources(template, "AWS::Events::EventBus")
        assert rule(template)["EventBusName"] == name
        assert template["Outputs"]["EventBusName"]["Value"] == name

    def test_stages_may_share_it(self) -> None:
        """A rule's name is unique on its bus, so the stage is in it."""
        for stage in ("dev", "prod"):
            template = synthesise(stage, eventBusName="default").delivery
            assert rule(template)["Name"] == f"LeadDelivery-{stage}"
            assert template["Outputs"]["EventRuleName"]["Value"] == f"LeadDelivery-{stage}"

    @pytest.mark.shipped
    @pytest.mark.parametrize(
        ("name", "bus"),
        [
            ("default", {}),
            ("arn:aws:events:eu-west-1:111122223333:event-bus/default", {}),
            (PARTNER, {"EventBusName": PARTNER}),
            (CENTRAL, {"EventBusName": "central"}),
        ],
    )
    def test_the_rule_s_metrics_are_found_by_aws_s_dimensions(self, name: str, bus: dict[str, str]) -> None:
        """The dimension is the bus's name, not its ARN; for a default bus there is none."""
        stack, _ = build(eventBusName=name)
        assert stack.delivery.rule_dimensions == {**bus, "RuleName": "LeadDelivery-dev"}

    def test_the_rule_takes_our_own_kinds_of_events_only(self) -> None:
        """Everything else on the bus is somebody else's."""
        pattern = rule(synthesise(eventBusName="default").delivery)["EventPattern"]
        assert pattern == {"detail-type": OWN_TYPES}

    def test_the_rule_takes_our_own_kinds_of_events_of_the_listed_sources_only(self) -> None:
        """Another team may use the same detail types on the same bus."""
        pattern = rule(synthesise(eventBusName="default", eventSources="my.crm").delivery)["EventPattern"]
        assert pattern == {"source": ["my.crm"], "detail-type": OWN_TYPES}

    def test_the_rule_takes_what_a_mapping_is_for(self) -> None:
        """One rule takes all, so that an event that fits twice comes once.

        CloudFormation drops a null, so the rule leaves it to the function to look for one.
        """
        wanted = [each for each in mappings() if each["operation"] != "ignore"]
        [with_null] = [each for each in wanted if each["name"] == "calendly-created"]
        assert with_null["pattern"]["detail"].pop("payload") == {"old_invitee": [None]}
        settings = {"eventBusName": "default", "mappings": json.dumps(mappings())}
        pattern = rule(synthesise(**settings).delivery)["EventPattern"]
        assert pattern == {
            "$or": [
                {"detail-type": OWN_TYPES},
                *(mapping["pattern"] for mapping in wanted),
            ]
        }

    @pytest.mark.shipped
    def test_a_pattern_that_eventbridge_would_refuse_is_reported(self) -> None:
        """At synth, with the number of characters."""
        wide = mappings()[0] | {"pattern": {"source": [f"source-{n}" for n in range(200)]}}
        with pytest.raises(ConfigError) as caught:
            synthesise(eventBusName="default", mappings=json.dumps([wide]))
        (problem,) = caught.value.problems
        assert "but EventBridge takes 2048" in problem

    @pytest.mark.shipped
    def test_a_stage_too_long_for_the_rule_s_name_is_reported(self) -> None:
        """On the stage's own bus the rule has a short name."""
        config = DeploymentConfig(stage="x" * 60, event_bus_name="default")
        with pytest.raises(ConfigError) as caught:
            build_stacks(new_app(), config, LocalBundling())
        (problem,) = caught.value.problems
        assert problem.startswith("on an existing bus the rule is named LeadDelivery-xxx")
        assert problem.endswith("after its stack: 73 characters, but EventBridge takes 64")


# Every kind of bus, and what is in a rule's ARN after "rule/".
BUSES: list[tuple[dict[str, str], str]] = [
    ({}, "LeadDelivery-dev/leads"),
    ({"eventBusName": "default"}, "LeadDelivery-dev"),
    ({"eventBusName": PARTNER}, f"{PARTNER}/LeadDelivery-dev"),
    ({"eventBusName": CENTRAL}, "central/LeadDelivery-dev"),
]


class TestRightsBeforeEvents:
    """Nothing is lost while it is deployed: an event that a queue refuses for want of a right is gone."""

    @pytest.mark.parametrize(("settings", "path"), BUSES)
    @pytest.mark.parametrize("output", ["LeadQueueUrl", "RuleDeadLetterQueueUrl"])
    def test_only_the_rule_may_send_as_eventbridge(
        self, settings: dict[str, str], path: str, output: str
    ) -> None:
        """Without aws:SourceArn any account's rule could put leads in."""
        template = synthesise(**settings).delivery
        (allowed,) = statements_for(template, output, "events.amazonaws.com")
        ((operator, condition),) = allowed["Condition"].items()
        (arn,) = condition["aws:SourceArn"]
        name = arn if isinstance(arn, str) else "".join(map(ref_or_text, arn["Fn::Join"][1]))
        account = "999988887777" if CENTRAL in settings.values() else "{AWS::AccountId}"
        assert operator == "ArnEquals"
        assert name.endswith(f":{account}:rule/{path}")
        assert allowed["Action"] == "sqs:SendMessage"

    @pytest.mark.parametrize("settings", [{**bus, "snsTopicArns": TOPIC} for bus, _ in BUSES], ids=str)
    def test_rule_and_subscriptions_come_after_the_rights_and_after_what_takes_longest(
        self, settings: dict[str, str]
    ) -> None:
        """SQS takes up to a minute until a policy counts, and the mapping takes about as long."""
        template = synthesise(**settings).delivery
        (mapping,) = resources(template, "AWS::Lambda::EventSourceMapping")
        policies = resources(template, "AWS::SQS::QueuePolicy")
        before = {
            name
            for name, policy in policies.items()
            for output in ("LeadQueueUrl", "RuleDeadLetterQueueUrl")
            if policy["Properties"]["Queues"] == [{"Ref": output_target(template, output)}]
        }
        for kind in ("AWS::Events::Rule", "AWS::SNS::Subscription"):
            (resource,) = resources(template, kind).values()
            assert {*resource["DependsOn"]} == {*before, mapping}
        assert len(before) == 2


class TestTopics:
    """snsTopicArns."""

    def test_without_topics_sns_may_do_nothing(self) -> None:
        """No subscription, no right."""
        template = synthesise().delivery
        assert not resources(template, "AWS::SNS::Subscription")
        assert sns_statements(template, "LeadQueueUrl") == []

    def test_each_topic_is_subscribed_to_the_lead_queue(self) -> None:
        """Messages keep SNS's envelope, whose message id traces an event back."""
        template = synthesise(snsTopicArns=f"{TOPIC},{OTHER_TOPIC}").delivery
        found = [s["Properties"] for s in resources(template, "AWS::SNS::Subscription").values()]
        assert [each["TopicArn"] for each in found] == [TOPIC, OTHER_TOPIC]
        for each in found:
            assert each["Protocol"] == "sqs"
            assert each["Endpoint"] == {"Fn::GetAtt": [output_target(template, "LeadQueueUrl"), "Arn"]}
            assert "RawMessageDelivery" not in each

    @pytest.mark.parametrize("output", ["LeadQueueUrl", "RuleDeadLetterQueueUrl"])
    def test_only_the_listed_topics_may_send(self, output: str) -> None:
        """Without aws:SourceArn any account's topic could put leads in; EventBridge's right stays."""
        template = synthesise(snsTopicArns=f"{TOPIC},{OTHER_TOPIC}").delivery
        (statement,) = sns_statements(template, output)
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": [TOPIC, OTHER_TOPIC]}}
        assert statement["Resource"] == {"Fn::GetAtt": [output_target(template, output), "Arn"]}

    def test_what_sns_can_t_deliver_goes_to_a_dead_letter_queue(self) -> None:
        """The rule's, so that what couldn't get in lies in one place."""
        template, output = synthesise(snsTopicArns=TOPIC).delivery, "RuleDeadLetterQueueUrl"
        subscription = properties(template, "AWS::SNS::Subscription")
        arn = {"Fn::GetAtt": [output_target(template, output), "Arn"]}
        assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": arn}
        assert sns_statements(template, output) != []

    def test_taking_a_topic_off_the_list_leaves_the_others_alone(self) -> None:
        """A subscription that is made anew loses what comes meanwhile."""
        both = resources(synthesise(snsTopicArns=f"{TOPIC},{OTHER_TOPIC}").delivery, "AWS::SNS::Subscription")
        one = resources(synthesise(snsTopicArns=OTHER_TOPIC).delivery, "AWS::SNS::Subscription")
        assert one.items() <= both.items()
