"""infra/aws.yaml: checked by cfn-lint, and brought up on a server that knows CloudFormation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spotify_assets.lakehouse import sync_glue
from spotify_assets.lakehouse.glue_tables import wanted_tables
from spotify_assets.settings import BucketAddress, Settings
from spotify_assets_tests.lakehouse.example import Gauges, Readings
from spotify_assets_tests.lakehouse.glue_server import AwsServer, aws, running_aws
from spotify_assets_tests.lakehouse.test_glue import Catalogue, manifest, wanted, with_columns

__all__ = ["aws", "running_aws"]

TEMPLATE = Path(__file__).parent.parent / "infra" / "aws.yaml"


class _Loader(yaml.SafeLoader):
    """Reads `!Ref name` as {"Ref": "name"}."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _tag)
RESOURCES = yaml.load(TEMPLATE.read_text(), _Loader)["Resources"]


def statements(policy: str) -> dict[str, dict[str, Any]]:
    document = RESOURCES[policy]["Properties"]["PolicyDocument"]
    return {each["Sid"]: each for each in document["Statement"]}


class Stack:
    """The template, brought up."""

    def __init__(self, aws: AwsServer, **parameters: str) -> None:
        cloud = aws.client("cloudformation")
        cloud.create_stack(
            StackName="spotify",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (described,) = cloud.describe_stacks(StackName="spotify")["Stacks"]
        self.status = described["StackStatus"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
        self.bucket = self.outputs["Mirror"].removeprefix("s3://").split("/")[0]


def test_cfn_lint_has_nothing_to_say() -> None:
    command = [Path(sys.executable).with_name("cfn-lint"), TEMPLATE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_bucket_is_made_and_encrypted(aws: AwsServer) -> None:
    stack = Stack(aws)
    assert stack.status == "CREATE_COMPLETE"
    encryption = aws.client("s3").get_bucket_encryption(Bucket=stack.bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


# What the server leaves out of a stack is read from the template.


def test_the_bucket_is_private_and_versioned_and_outlives_the_stack() -> None:
    bucket = RESOURCES["Bucket"]
    blocked = bucket["Properties"]["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4 and all(blocked.values())
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_old_versions_and_athena_s_answers_do_not_stay_for_ever_and_nothing_else_goes() -> None:
    rules = {rule["Id"]: rule for rule in RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "VersionDays"}}
    expiring = {name: rule["Prefix"] for name, rule in rules.items() if "ExpirationInDays" in rule}
    assert expiring == {"answers-of-athena": "athena-results/"}


def test_the_variables_that_it_tells_are_all_that_a_sync_needs(
    aws: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(aws, GlueDatabase="music", MirrorPrefix="home/ann")
    command = stack.outputs["Environment"]
    assert command.startswith("export ")
    for variable in command.removeprefix("export ").split():
        monkeypatch.setenv(*variable.split("=", 1))
    aws.client("s3").put_object(Bucket=stack.bucket, Key="home/ann/manifest.json", Body=manifest("2024-01").to_json())
    report = sync_glue(Settings(home=tmp_path, timezone="UTC"))
    assert (report.database, report.location) == ("music", f"s3://{stack.bucket}/home/ann")
    assert aws.client("glue").get_table(DatabaseName="music", Name="clean_plays")


def test_the_hosted_run_starts_a_task_by_a_schedule(aws: AwsServer) -> None:
    ec2 = aws.client("ec2")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    stack = Stack(
        aws,
        HostedRun="yes",
        ContainerImage="example/spotify:1",
        VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        SubnetIds=",".join(subnets),
        Timezone="Europe/Berlin",
    )
    assert stack.status == "CREATE_COMPLETE"
    events = aws.client("events")
    (rule,) = events.list_rules()["Rules"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 hour)", "ENABLED")
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    task = aws.client("ecs").describe_task_definition(taskDefinition=target["EcsParameters"]["TaskDefinitionArn"])
    (container,) = task["taskDefinition"]["containerDefinitions"]
    # The secret, which the server leaves out, has no value.
    variables = {each["name"]: each.get("value") for each in container["environment"]}
    assert variables["SPOTIFY_ASSETS_MIRROR"] == stack.outputs["Mirror"]
    assert variables["SPOTIFY_ASSETS_TIMEZONE"] == "Europe/Berlin"
    (group,) = [each for each in ec2.describe_security_groups()["SecurityGroups"] if "spotify" in each["Description"]]
    assert group["IpPermissions"] == []


def test_without_the_hosted_run_nothing_of_it_is_made(aws: AwsServer) -> None:
    Stack(aws)
    assert aws.client("events").list_rules()["Rules"] == []
    assert aws.client("ecs").list_clusters()["clusterArns"] == []
    assert aws.client("iam").list_roles()["Roles"] == []


def test_every_variable_of_the_task_is_a_setting() -> None:
    (container,) = RESOURCES["Task"]["Properties"]["ContainerDefinitions"]
    names = {each["Name"].removeprefix("SPOTIFY_ASSETS_").lower() for each in container["Environment"]}
    assert names <= set(Settings.model_fields)


def test_what_is_not_encrypted_on_the_way_is_denied_to_everybody() -> None:
    told = statements("BucketPolicy")["OnlyOverTls"]
    assert (told["Effect"], told["Principal"], told["Action"]) == ("Deny", "*", "s3:*")
    assert told["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert told["Resource"] == [{"GetAtt": "Bucket.Arn"}, {"Sub": "${Bucket.Arn}/*"}]


def test_a_query_has_a_limit_that_readers_cannot_lift() -> None:
    workgroup = RESOURCES["Workgroup"]["Properties"]["WorkGroupConfiguration"]
    assert workgroup["EnforceWorkGroupConfiguration"] is True
    assert workgroup["BytesScannedCutoffPerQuery"] == {"Ref": "ScanLimitBytes"}


def test_the_pipeline_may_do_in_glue_what_a_sync_does_and_nothing_else(aws: AwsServer) -> None:
    catalogue = Catalogue(aws)
    called = set()
    columns = (("gauge", "VARCHAR", "Which gauge."),)
    # A new database, another column, fewer months, fewer tables.
    for tables in (
        wanted("2024-01", "2024-02"),
        with_columns(wanted("2024-01", "2024-02"), "example_readings", *columns),
        wanted_tables(manifest("2024-02"), [Readings]),
    ):
        catalogue.sync(tables)
        called |= {f"glue:{name}" for name in catalogue.calls}
    catalogue.sync(wanted_tables(manifest(), [Gauges]), BucketAddress("moved", ""), takes_over=True)
    called |= {f"glue:{name}" for name in catalogue.calls}
    assert set(statements("PipelinePolicy")["SyncGlue"]["Action"]) == called


@pytest.mark.parametrize("policy", ["PipelinePolicy", "ReaderPolicy"])
def test_no_policy_allows_more_than_it_names(policy: str) -> None:
    for sid, each in statements(policy).items():
        assert not [action for action in each["Action"] if "*" in action], sid
        if each["Resource"] == "*":
            assert each["Action"] == ["athena:ListWorkGroups", "athena:ListDataCatalogs"]


def test_readers_write_nothing_but_athena_s_answers_and_see_no_inbox() -> None:
    policy = statements("ReaderPolicy")
    writing = re.compile("Put|Delete|Create|Update")
    changing = {sid for sid, each in policy.items() if writing.search(" ".join(each["Action"]))}
    assert changing == {"KeepAnswers"}
    assert policy["NotWhatWasDroppedIntoTheInbox"]["Effect"] == "Deny"
    assert "inbox/*" in json.dumps(policy["NotWhatWasDroppedIntoTheInbox"]["Resource"])
