"""What every proto file promises to integrators of other languages."""

import importlib
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

PROTOS = Path(__file__).parents[2] / "protos"
FILES = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def test_there_are_files() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_how_java_names_its_classes(name: str) -> None:
    described = FileDescriptorProto()
    _file(name).CopyToProto(described)
    assert described.options.java_multiple_files
    assert described.options.java_package == f"fr.{described.package}"


@pytest.mark.parametrize("name", FILES)
def test_the_zero_of_every_enum_is_unspecified(name: str) -> None:
    file = _file(name)
    enums = [*file.enum_types_by_name.values()]
    for message in file.message_types_by_name.values():
        enums += _enums_of(message)
    for enum in enums:
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED"), enum.full_name
        assert [value.name for value in enum.values if value.name.endswith("_UNSPECIFIED")] == [
            enum.values_by_number[0].name
        ]


@pytest.mark.parametrize("name", FILES)
def test_every_rpc_has_a_request_and_a_response_of_its_own(name: str) -> None:
    for service in _file(name).services_by_name.values():
        for method in service.methods:
            assert method.input_type.name == f"{method.name}Request"
            assert method.output_type.name == f"{method.name}Response"


def _file(name: str) -> FileDescriptor:
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    descriptor: FileDescriptor = module.DESCRIPTOR
    return descriptor


def _enums_of(message: Descriptor) -> list[EnumDescriptor]:
    nested = [enum for inner in message.nested_types for enum in _enums_of(inner)]
    return [*message.enum_types, *nested]
