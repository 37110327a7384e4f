"""RSA keys in XML: RSAKeyValue (RFC 3275, with the private members that .NET adds)."""

import base64
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from libsshd.hostkeys.certificate import Certificate, Unusable
from libsshd.hostkeys.x509 import rsa_key


def read(content: bytes, password: str) -> list[Certificate]:  # noqa: ARG001 -- XML is never encrypted
    """The key; it has no certificate. Raises Unusable."""
    elements = {_name(element): element for element in _root(content).iter()}
    if "DSAKeyValue" in elements:
        raise Unusable("holds a DSA key, which SSH has given up; use RSA, ECDSA or Ed25519")
    if "RSAKeyValue" not in elements:
        raise Unusable("is XML without an RSAKeyValue element, the only key in XML that can be read")
    numbers = {_name(element): _number(element) for element in elements["RSAKeyValue"]}
    if not {"Modulus", "Exponent", "D"} <= numbers.keys():
        raise Unusable("holds an RSAKeyValue without its private members")
    primes = (numbers.get("P", 0), numbers.get("Q", 0))
    return [Certificate(rsa_key(numbers["Modulus"], numbers["Exponent"], numbers["D"], *primes))]


def _root(content: bytes) -> Element:
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # the last two: of its encoding
        raise Unusable("is no plain XML") from None
    return root


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _number(element: Element) -> int:
    try:
        return int.from_bytes(base64.b64decode("".join((element.text or "").split()), validate=True), "big")
    except ValueError:
        raise Unusable("holds an RSAKeyValue with a number that is not in Base64") from None
