"""A CDA R2 document of an exact size: a header as the broker reads it, and a base64 body of noise."""

import base64
import random

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <realmCode code="FR"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.25.11"/>
  <code code="83869-8" codeSystem="2.16.840.1.113883.6.1"/>
  <title>Document de mesure</title>
  <effectiveTime value="20260105090000+0100"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <recordTarget>
    <patientRole><id root="{root}" extension="{matricule}"/></patientRole>
  </recordTarget>
  <author>
    <time value="20260105090000+0100"/>
    <assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="899700412077"/></assignedAuthor>
  </author>
  <component>
    <nonXMLBody>
      <text mediaType="application/pdf" representation="B64">"""
_TAIL = """</text>
    </nonXMLBody>
  </component>
</ClinicalDocument>
"""


def document(size: int, root: str, matricule: str, chance: random.Random) -> bytes:
    """A document of exactly `size` bytes (at least 2,048) about the patient of this identity."""
    head, tail = _HEAD.format(root=root, matricule=matricule).encode(), _TAIL.encode()
    room = size - len(head) - len(tail)
    body = base64.b64encode(chance.randbytes(room // 4 * 3))
    return head + body + b"\n" * (room - len(body)) + tail
