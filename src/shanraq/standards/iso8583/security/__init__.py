"""Message authentication, PIN blocks and derived keys: as functions of keys, and behind an interface an HSM can implement.

module = SoftwareModule()                              # for the sandbox; an HSM keeps its keys to itself
module.load("zone-mac", Cipher.TDES, key)
mac = module.generate_mac("zone-mac", data)            # ISO 9797-1 algorithm 3, or AES-CMAC
module.translate_pin(block, pan, ("terminal", PinFormat.ISO0), ("zone", PinFormat.ISO4))
"""

from shanraq.standards.iso8583.security.authentication import MessageAuthentication
from shanraq.standards.iso8583.security.ciphers import Cipher, SecurityError, key_check_value
from shanraq.standards.iso8583.security.dukpt import AesDukpt, AesUsage, TdesDukpt
from shanraq.standards.iso8583.security.mac import MacAlgorithm, compute_mac, mac_input
from shanraq.standards.iso8583.security.module import SecurityModule, SoftwareModule
from shanraq.standards.iso8583.security.pin import PinFormat, clear_block, decipher_pin, encipher_pin, pin_of

__all__ = [
    "AesDukpt", "AesUsage", "Cipher", "MacAlgorithm", "MessageAuthentication", "PinFormat", "SecurityError", "SecurityModule",
    "SoftwareModule", "TdesDukpt", "clear_block", "compute_mac", "decipher_pin", "encipher_pin", "key_check_value", "mac_input",
    "pin_of",
]  # fmt: skip
