# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Read and write messages in C, by a table of the layout: the fast path where a C compiler was at hand.

As `generated`, it gives None for whatever is not plainly right, and the exact codec reads or writes that message: so it never
says what is wrong. What is not worth doing here (a class of characters that is no set, nested parts) is left to the exact functions
for that one element.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy, memset

from shanraq.standards.iso8583.content import check_of
from shanraq.standards.iso8583.layout import BerTlv, Fixed
from shanraq.standards.iso8583.message import Message, Span
from shanraq.standards.iso8583.parts import possible_sizes, whole_check
from shanraq.standards.iso8583.wire import page_of

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    #define fields_of_size(size) ((size) > 5 ? _PyDict_NewPresized(size) : PyDict_New())
    #define put(fields, key, value, hash) _PyDict_SetItem_KnownHash(fields, key, value, hash)
    #else
    #define fields_of_size(size) PyDict_New()
    #define put(fields, key, value, hash) PyDict_SetItem(fields, key, value)
    #endif

    /* What all these bytes have in common in a table. */
    static inline unsigned char common_of(const unsigned char* table, const unsigned char* at, Py_ssize_t size) {
        unsigned char one = 255, other = 255;
        const unsigned char* end = at + size;
        for (; end - at >= 4; at += 4) {
            one &= table[at[0]] & table[at[1]];
            other &= table[at[2]] & table[at[3]];
        }
        for (; at < end; at++) one &= table[*at];
        return one & other;
    }

    /* The number, from 1, of the first bit that is set. */
    static inline int top_bit(unsigned long long bits) {
    #if defined(__GNUC__)
        return 1 + __builtin_clzll(bits);
    #else
        int number = 1;
        while (!(bits >> 63)) { bits <<= 1; number++; }
        return number;
    #endif
    }

    /* The place of a __slots__ attribute in an object of its class. */
    #define slot_of(object, descriptor) \\
        (*(PyObject**)((char*)(object) + ((PyMemberDescrObject*)(descriptor))->d_member->offset))
    #define fill(object, descriptor, value) (Py_INCREF(value), slot_of(object, descriptor) = (value))
    """
    int put(dict fields, object key, object value, Py_ssize_t hash) except -1
    void fill(object message, object descriptor, object value)
    PyObject* slot_of(object message, object descriptor)
    dict fields_of_size(Py_ssize_t size)
    unsigned char common_of(const unsigned char* table, const unsigned char* at, Py_ssize_t size) noexcept nogil
    int top_bit(unsigned long long bits) noexcept nogil

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 greatest)
    void* PyUnicode_DATA(object text)
    int PyUnicode_KIND(object text)
    int PyUnicode_IS_ASCII(object text)
    bint PyUnicode_CheckExact(object text)
    bint PyLong_CheckExact(object number)
    long PyLong_AsLong(object number) except? -1
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    ctypedef struct PyTypeObject
    object PyType_GenericAlloc(PyTypeObject* kind, Py_ssize_t items)

cdef enum:
    MAPS_LIMIT = 3
    NUMBERS = MAPS_LIMIT * 64 + 1

cdef enum Encoding:
    ASCII, LATIN1, EBCDIC, BCD, SIGN_BCD, RAW, HEX_ASCII

cdef enum PrefixEncoding:
    NO_PREFIX, ASCII_PREFIX, EBCDIC_PREFIX, BCD_PREFIX, BINARY_PREFIX

cdef enum Check:
    UNCHECKED, ALPHABET, TRACK, AMOUNT, CALLED

cdef enum PartsCheck:
    WHOLE, TLV, SIZED, SPLIT

cdef enum Alphabet:
    DIGITS = 1, LETTERS = 2, LETTERS_DIGITS = 4, PRINTABLE = 8, NO_LETTERS = 16, HEX_DIGITS = 32, TRACK_SIGNS = 64, PLAIN = 128

cdef struct Element:
    bint known
    bint composite
    int encoding
    int prefix
    int width                   # of the prefix, in bytes
    int check
    int parts
    unsigned char alphabet
    unsigned char pad           # the nibble written beside an odd number of digits
    bint pads_right
    Py_ssize_t size             # of a fixed element, in its unit
    unsigned long long most     # of a variable one
    unsigned long long writable # the most that also fits its prefix

cdef struct Extent:
    Py_ssize_t data
    Py_ssize_t end
    Py_ssize_t size

cdef unsigned char ALPHABETS[256]
cdef char HEX[16]
cdef char PAIRS[512]
cdef signed char NIBBLES[256]
cdef dict ENCODINGS = {
    "ascii": ASCII, "latin1": LATIN1, "ebcdic": EBCDIC, "bcd": BCD, "sign_bcd": SIGN_BCD, "raw": RAW, "hex_ascii": HEX_ASCII,
}
cdef dict PREFIXES = {"ascii": ASCII_PREFIX, "ebcdic": EBCDIC_PREFIX, "bcd": BCD_PREFIX, "binary": BINARY_PREFIX}
cdef dict CLASSES = {
    "n": DIGITS, "a": LETTERS, "an": LETTERS_DIGITS, "anp": LETTERS_DIGITS, "ans": PRINTABLE, "ns": NO_LETTERS, "b": HEX_DIGITS,
}
cdef dict BASES = {"ascii": 10, "ebcdic": 10, "bcd": 100, "binary": 256}
cdef frozenset NOTHING = frozenset()
cdef object MTI = Message.mti, FIELDS = Message.fields, HEADER = Message.header
cdef object READING = Message._reading, BYTES = Message._raw, COMPOSITES = Message._composites
cdef tuple NUMBER = tuple(range(NUMBERS))


cdef void prepare():
    cdef int code
    for code in range(256):
        digit = 48 <= code <= 57
        letter = 65 <= code <= 90 or 97 <= code <= 122
        printable = 32 <= code <= 126 or code >= 160
        ALPHABETS[code] = (
            DIGITS * digit | LETTERS * (letter or code == 32) | LETTERS_DIGITS * (digit or letter or code == 32)
            | PRINTABLE * printable | NO_LETTERS * (printable and not letter)
            | HEX_DIGITS * (digit or 65 <= code <= 70) | TRACK_SIGNS * (digit or 65 <= code <= 70 or code == 61)
            | PLAIN * (code < 128)
        )
        NIBBLES[code] = code - 48 if digit else code - 55 if 65 <= code <= 70 else code - 87 if 97 <= code <= 102 else -1
    for code in range(16):
        HEX[code] = b"0123456789ABCDEF"[code]
    for code in range(256):
        PAIRS[2 * code], PAIRS[2 * code + 1] = HEX[code >> 4], HEX[code & 0x0F]


prepare()


cdef Py_ssize_t next_tlv(const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Extent* found) noexcept nogil:
    """Find the next tag: `found` has where its length begins, its value and its end (as `size`, `data` and `end`).

    Returns where the tag begins, `end` if there is none, -1 if it is malformed.
    """
    cdef Py_ssize_t start, length
    while at < end and (data[at] == 0 or data[at] == 0xFF):
        at += 1
    if at >= end:
        return end
    start = at
    at += 1
    if data[start] & 0x1F == 0x1F:
        if at < end and data[at] & 0x80:
            at += 1
        if at >= end or data[at] & 0x80:
            return -1
        at += 1
    if at >= end:
        return -1
    found.size = at
    length = data[at]
    at += 1
    if length == 0x81:
        if at >= end:
            return -1
        length = data[at]
        at += 1
    elif length == 0x82:
        if at + 1 >= end:
            return -1
        length = data[at] << 8 | data[at + 1]
        at += 2
    elif length >= 0x80:
        return -1
    if length > end - at:
        return -1
    found.data = at
    found.end = at + length
    return start


cdef object hex_of(const unsigned char* data, Py_ssize_t size):
    cdef object text = PyUnicode_New(size * 2, 127)
    cdef char* out = <char*>PyUnicode_DATA(text)
    cdef Py_ssize_t at
    for at in range(size):
        memcpy(out + 2 * at, PAIRS + 2 * data[at], 2)
    return text


cdef object nibbles_of(const unsigned char* data, Py_ssize_t first, Py_ssize_t count, Py_ssize_t lead):
    """Return `count` nibbles from nibble `first` as hex, with room for `lead` characters before them."""
    cdef object text = PyUnicode_New(lead + count, 127)
    cdef char* out = <char*>PyUnicode_DATA(text) + lead
    cdef Py_ssize_t at
    for at in range(count):
        out[at] = HEX[data[(first + at) >> 1] >> (0 if (first + at) & 1 else 4) & 0x0F]
    return text


@cython.final
cdef class Compiled:
    """The table of one layout. Raises ValueError for a layout with more bitmaps than any network has."""

    cdef Element elements[NUMBERS]
    cdef unsigned char page[256]
    cdef unsigned char page_out[256]
    cdef object reading
    cdef list checks
    cdef list splits
    cdef list composites
    cdef Py_ssize_t header
    cdef bint header_text
    cdef int mti
    cdef int map_bytes
    cdef int min_maps
    cdef int max_maps
    cdef bint extension
    cdef bint lower
    cdef unsigned char last_bytes[4]
    cdef object last_type

    def __init__(self, layout, reading):
        rules = layout.bitmap
        if rules.max_maps > MAPS_LIMIT:
            raise ValueError("too many bitmaps")
        self.reading = reading
        self.checks = [None] * NUMBERS
        self.splits = [None] * NUMBERS
        self.composites = [frozenset((number,)) for number in range(NUMBERS)]
        self.header = layout.header.bytes if layout.header else 0
        self.header_text = layout.header is not None and layout.header.value_form == "text"
        self.mti = ENCODINGS[layout.mti.encoding]
        self.map_bytes = 8 if rules.encoding == "binary" else 16
        self.min_maps, self.max_maps, self.extension = rules.min_maps, rules.max_maps, rules.extension_bit
        self.lower = rules.hex_case_out == "lower"
        every = bytes(range(256))
        page = page_of("ebcdic", layout.charset)
        in_latin1 = page.decode(every) if page.name != "ascii" else every.decode("latin-1")
        for code, char in enumerate(in_latin1):
            self.page[code] = ord(char)
            self.page_out[ord(char)] = code
        memset(self.elements, 0, sizeof(self.elements))
        for number, field in layout.fields.items():
            self.describe(number, field, layout.charset)

    cdef describe(self, int number, field, charset):
        cdef Element* element = &self.elements[number]
        length = field.length
        element.known = True
        element.encoding = ENCODINGS[field.encoding]
        element.pads_right = field.pad_nibble is not None and field.pad_nibble.side == "right"
        element.pad = int(field.pad_nibble.value, 16) if field.pad_nibble is not None else 0
        if isinstance(length, Fixed):
            element.size = length.size
        else:
            element.prefix = PREFIXES[length.prefix.encoding]
            element.width = length.prefix.bytes
            element.most = min(length.max, 2**62)
            element.writable = min(length.max, BASES[length.prefix.encoding] ** length.prefix.bytes - 1, 2**62)
        self.checks[number] = check_of(field)
        if element.encoding in (RAW, HEX_ASCII):
            element.check = UNCHECKED
        elif field.content == "x+n":
            element.check = AMOUNT if element.encoding != BCD else CALLED
        elif element.encoding == BCD and field.content in ("an", "anp", "ans", "z", "b"):
            element.check = UNCHECKED
        elif field.content == "z":
            element.check = TRACK
        else:
            element.check = ALPHABET
            element.alphabet = CLASSES[field.content]
        if field.parts is None:
            return
        element.composite = True
        if isinstance(field.parts, BerTlv) and element.encoding != HEX_ASCII:
            element.parts = TLV
            return
        sizes = possible_sizes(field, charset)
        self.splits[number] = whole_check(field, str(number), charset) if sizes is None else sizes
        element.parts = SIZED if sizes is not None else WHOLE if self.splits[number] is None else SPLIT

    # Reading

    def read(self, bytes raw):
        """Read a message, checked with its content."""
        return self.message(raw, True)

    def read_bare(self, bytes raw):
        """Read a message, its structure checked."""
        return self.message(raw, False)

    cdef object message(self, bytes raw, bint content):
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(raw)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
        cdef unsigned long long bits[MAPS_LIMIT]
        cdef unsigned long long rest
        cdef int count = 0, number = 0, which
        cdef Py_ssize_t at
        cdef Extent extent
        cdef Element* element
        cdef object header = None, value, mti, composites = NOTHING
        cdef dict fields
        try:
            at = self.head(data, size, bits, &count)
            if at < 0:
                return None
            mti = self.type_of(data)
            if self.header:
                header = raw[: self.header].decode("ascii") if self.header_text else hex_of(data, self.header)
            for which in range(count):
                rest = bits[which]
                while rest:
                    rest &= rest - 1
                    number += 1
            fields = fields_of_size(number)
            for which in range(count):
                rest = bits[which]
                while rest:
                    number = top_bit(rest)
                    rest ^= 1ULL << (64 - number)
                    number += which * 64
                    element = &self.elements[number]
                    if not self.extent_of(data, size, element, at, &extent):
                        return None
                    value = self.value(data, element, number, &extent, content)
                    if value is None:
                        return None
                    put(fields, NUMBER[number], value, number)
                    if element.composite:
                        if element.parts and not self.is_whole(raw, data, element, number, &extent):
                            return None
                        composites = self.composites[number] if composites is NOTHING else composites | {number}
                    at = extent.end
            if at != size:
                return None
            message = PyType_GenericAlloc(<PyTypeObject*>Message, 0)
            fill(message, MTI, mti)
            fill(message, FIELDS, fields)
            fill(message, HEADER, header)
            fill(message, READING, self.reading)
            fill(message, BYTES, raw)
            fill(message, COMPOSITES, composites)
            return message
        except Exception:  # whatever it was, the exact reader says it better
            return None

    def peek(self, bytes raw, tuple numbers):
        """Return those of the elements that are there; 0 is the type."""
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(raw)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
        cdef unsigned long long bits[MAPS_LIMIT]
        cdef unsigned long long wanted[MAPS_LIMIT]
        cdef unsigned long long rest, bit
        cdef int count = 0, number, which, last = 0
        cdef Py_ssize_t at
        cdef Extent extent
        cdef Element* element
        cdef dict found = {}
        memset(wanted, 0, sizeof(wanted))
        try:
            at = self.head(data, size, bits, &count)
            if at < 0:
                return None
            for number in numbers:
                last = max(last, number)
                if 0 < number < NUMBERS:
                    wanted[(number - 1) >> 6] |= 1ULL << (63 - ((number - 1) & 63))
                elif number == 0:
                    found[0] = self.type_of(data)
            for which in range(count):
                rest = bits[which]
                while rest:
                    number = top_bit(rest)
                    bit = 1ULL << (64 - number)
                    rest ^= bit
                    number += which * 64
                    if number > last:
                        return found
                    element = &self.elements[number]
                    if not self.extent_of(data, size, element, at, &extent):
                        return None
                    if wanted[which] & bit:
                        value = self.value(data, element, number, &extent, False)
                        if value is None:
                            return None
                        found[number] = value
                    elif not self.is_readable(data, element, &extent):
                        return None
                    at = extent.end
            return found
        except Exception:  # whatever it was, the exact reader says it better
            return None

    def spans(self, bytes raw):
        """Return where the elements are."""
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(raw)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
        cdef unsigned long long bits[MAPS_LIMIT]
        cdef unsigned long long rest
        cdef int count = 0, number, which
        cdef Py_ssize_t at
        cdef Extent extent
        at = self.head(data, size, bits, &count)
        if at < 0:
            return None
        found = {0: Span(self.header, self.header, self.header + (2 if self.mti == BCD else 4))}
        for which in range(count):
            rest = bits[which]
            while rest:
                number = top_bit(rest)
                rest ^= 1ULL << (64 - number)
                number += which * 64
                if not self.extent_of(data, size, &self.elements[number], at, &extent):
                    return None
                found[number] = tuple.__new__(Span, (at, extent.data, extent.end))
                at = extent.end
        return found if at == size else None

    def tlv(self, bytes raw):
        """Split BER-TLV."""
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(raw)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(raw), at = 0, start
        cdef Extent extent
        cdef list items = []
        while True:
            start = next_tlv(data, at, end, &extent)
            if start < 0:
                return None
            if start == end:
                return items
            items.append([hex_of(data + start, extent.size - start), hex_of(data + extent.data, extent.end - extent.data)])
            at = extent.end

    cdef Py_ssize_t head(
        self, const unsigned char* data, Py_ssize_t size, unsigned long long* bits, int* count
    ) noexcept:
        """Read the bitmaps; return where the first element begins, -1 if anything is unusual before it."""
        cdef Py_ssize_t at = self.header
        cdef int place, nibble, maps = 0
        cdef unsigned long long word
        cdef unsigned long long top = 1ULL << 63
        if self.header_text:
            for place in range(<int>min(at, size)):
                if data[place] > 127:
                    return -1
        if size < at + (2 if self.mti == BCD else 4):
            return -1
        if self.mti == BCD:
            for place in range(4):
                if data[at + (place >> 1)] >> (0 if place & 1 else 4) & 0x0F > 9:
                    return -1
            at += 2
        else:
            for place in range(4):
                if not ALPHABETS[self.page[data[at + place]] if self.mti == EBCDIC else data[at + place]] & DIGITS:
                    return -1
            at += 4
        while True:
            if size < at + self.map_bytes:
                return -1
            word = 0
            if self.map_bytes == 8:
                for place in range(8):
                    word = word << 8 | data[at + place]
            else:
                for place in range(16):
                    nibble = NIBBLES[data[at + place]]
                    if nibble < 0:
                        return -1
                    word = word << 4 | <unsigned long long>nibble
            at += self.map_bytes
            bits[maps] = word & ~top
            maps += 1
            if not self.extension:
                if word & top:
                    return -1
                if maps == self.max_maps:
                    break
            elif word & top:
                if maps >= self.max_maps:
                    return -1
            else:
                if maps < self.min_maps:
                    return -1
                break
        count[0] = maps
        return at

    cdef object type_of(self, const unsigned char* data):
        cdef object text
        cdef char* out
        cdef int place, size = 2 if self.mti == BCD else 4
        # One message is often followed by another of its type.
        if self.last_type is not None and not memcmp(self.last_bytes, data + self.header, size):
            return self.last_type
        if self.mti == BCD:
            text = hex_of(data + self.header, 2)
        else:
            text = PyUnicode_New(4, 127)
            out = <char*>PyUnicode_DATA(text)
            for place in range(4):
                out[place] = self.page[data[self.header + place]] if self.mti == EBCDIC else data[self.header + place]
        memcpy(self.last_bytes, data + self.header, size)
        self.last_type = text
        return text

    cdef bint extent_of(
        self, const unsigned char* data, Py_ssize_t size, Element* element, Py_ssize_t at, Extent* extent
    ) noexcept:
        """Find where the data of an element begin and end; false if they are not whole."""
        cdef unsigned long long length = 0
        cdef int place, digit
        cdef unsigned char code
        if not element.known:
            return False
        if element.prefix == NO_PREFIX:
            length = element.size
        else:
            if size - at < element.width:
                return False
            for place in range(element.width):
                code = data[at + place]
                if element.prefix == BINARY_PREFIX:
                    length = length << 8 | code
                elif element.prefix == BCD_PREFIX:
                    if code >> 4 > 9 or code & 0x0F > 9:
                        return False
                    length = length * 100 + (code >> 4) * 10 + (code & 0x0F)
                else:
                    digit = (self.page[code] if element.prefix == EBCDIC_PREFIX else code) - 48
                    if digit < 0 or digit > 9:
                        return False
                    length = length * 10 + digit
            at += element.width
            if length > element.most or length > 2 * <unsigned long long>size:
                return False
        extent.size = <Py_ssize_t>length
        extent.data = at
        if element.encoding == BCD:
            extent.end = at + (extent.size + 1) // 2
        elif element.encoding == SIGN_BCD:
            extent.end = at + 1 + extent.size // 2
        elif element.encoding == HEX_ASCII:
            extent.end = at + extent.size * 2
        else:
            extent.end = at + extent.size
        return extent.end <= size

    cdef bint is_readable(self, const unsigned char* data, Element* element, Extent* extent) noexcept:
        """Tell whether the data of an element that is passed over could be read."""
        cdef Py_ssize_t at
        cdef unsigned char any_of = 0
        if element.encoding == ASCII:
            for at in range(extent.data, extent.end):
                any_of |= data[at]
            return any_of < 128
        if element.encoding == SIGN_BCD:
            return data[extent.data] < 128
        if element.encoding == HEX_ASCII:
            for at in range(extent.data, extent.end):
                if NIBBLES[data[at]] < 0:
                    return False
        return True

    cdef object value(self, const unsigned char* data, Element* element, int number, Extent* extent, bint content):
        """Return the value of an element; None if it is not plainly right."""
        cdef Py_ssize_t size = extent.end - extent.data, at
        cdef const unsigned char* start = data + extent.data
        cdef unsigned char common = 255
        cdef object text
        cdef unsigned char* out
        cdef int encoding = element.encoding
        if encoding <= EBCDIC:
            if encoding == EBCDIC:
                for at in range(size):
                    common &= ALPHABETS[self.page[start[at]]]
            else:
                common = common_of(ALPHABETS, start, size)
                if encoding == ASCII and not common & PLAIN:
                    return None
            # A string must not promise more than ASCII if it holds no more.
            text = PyUnicode_New(size, 127 if common & PLAIN else 255)
            out = <unsigned char*>PyUnicode_DATA(text)
            if encoding == EBCDIC:
                for at in range(size):
                    out[at] = self.page[start[at]]
            elif size:
                memcpy(out, start, size)
            if not content:
                return text
            if element.check == ALPHABET:
                return text if common & element.alphabet else None
            if element.check == TRACK and common & TRACK_SIGNS:
                return text
            return text if self.is_right(out, size, element, number, text) else None
        if encoding == RAW:
            return hex_of(start, size)
        if encoding == BCD:
            text = nibbles_of(start, extent.size & 1 and not element.pads_right, extent.size, 0)
            if content and element.check == ALPHABET and element.alphabet == DIGITS:
                out = <unsigned char*>PyUnicode_DATA(text)
                for at in range(extent.size):
                    if out[at] > 57:
                        return None
                return text
        elif encoding == HEX_ASCII:
            text = PyUnicode_New(size, 127)
            out = <unsigned char*>PyUnicode_DATA(text)
            for at in range(size):
                if NIBBLES[start[at]] < 0:
                    return None
                out[at] = HEX[NIBBLES[start[at]]]
            return text
        else:
            if start[0] > 127:
                return None
            text = nibbles_of(start + 1, not extent.size & 1, extent.size - 1, 1)
            (<unsigned char*>PyUnicode_DATA(text))[0] = start[0]
        if not content or element.check == UNCHECKED:
            return text
        return text if self.is_right(<unsigned char*>PyUnicode_DATA(text), extent.size, element, number, text) else None

    cdef bint is_right(self, const unsigned char* text, Py_ssize_t size, Element* element, int number, object value) except -1:
        cdef Py_ssize_t at
        if element.check == AMOUNT:
            if size < 2 or (text[0] != 67 and text[0] != 68):
                return False
            for at in range(1, size):
                if not ALPHABETS[text[at]] & DIGITS:
                    return False
            return True
        return self.checks[number](value) is not None

    cdef bint is_whole(self, bytes raw, const unsigned char* data, Element* element, int number, Extent* extent) except -1:
        """Tell whether a composite is made as its parts say; the exact functions raise for one that is not."""
        cdef Extent found
        cdef Py_ssize_t at = extent.data, start
        if element.parts == TLV:
            while True:
                start = next_tlv(data, at, extent.end, &found)
                if start < 0:
                    return False
                if start == extent.end:
                    return True
                at = found.end
        if element.parts == SIZED:
            return extent.end - extent.data in self.splits[number]
        self.splits[number](raw[extent.data : extent.end])
        return True

    # Writing

    def write(self, message):
        """Write a message."""
        cdef PyObject* values[NUMBERS]
        cdef unsigned long long bits[MAPS_LIMIT]
        cdef unsigned long long rest
        cdef PyObject* key = NULL
        cdef PyObject* value = NULL
        cdef Py_ssize_t at = 0, size, total
        cdef int which, count, last = 1
        cdef long number
        cdef dict fields
        cdef bytes raw
        cdef unsigned char* out
        try:
            given = message._parts if message._reading is None else message._composites
            if given and not message.is_whole():
                return None
            mti, header, given = message.mti, message.header, message.fields
            if type(given) is not dict:
                return None
            fields = given
            memset(bits, 0, sizeof(bits))
            total = self.header + (2 if self.mti == BCD else 4)
            while PyDict_Next(fields, &at, &key, &value):
                if not PyLong_CheckExact(<object>key):
                    return None
                number = PyLong_AsLong(<object>key)
                if number < 1 or number >= NUMBERS or not self.elements[number].known:
                    return None
                size = self.written_size(&self.elements[number], <object>value)
                if size < 0:
                    return None
                total += size
                values[number] = value
                bits[(number - 1) >> 6] |= 1ULL << (63 - ((number - 1) & 63))
                if number > last:
                    last = <int>number
            count = max((last - 1) // 64 + 1, self.min_maps if self.extension else self.max_maps)
            total += count * self.map_bytes
            raw = PyBytes_FromStringAndSize(NULL, total)
            out = <unsigned char*>PyBytes_AS_STRING(raw)
            at = self.write_head(out, header, mti)
            if at < 0:
                return None
            at += self.write_maps(out + at, bits, count)
            for which in range(count):
                rest = bits[which]
                while rest:
                    number = top_bit(rest)
                    rest ^= 1ULL << (64 - number)
                    number += which * 64
                    size = self.write_element(out + at, &self.elements[number], <object>values[number])
                    if size < 0:
                        return None
                    at += size
            return raw if at == total else None
        except Exception:  # whatever it was, the exact writer says it better
            return None

    cdef Py_ssize_t written_size(self, Element* element, object value) noexcept:
        """Return how many bytes an element takes; -1 if it is not plainly right."""
        cdef Py_ssize_t length, units
        if not PyUnicode_CheckExact(value) or PyUnicode_KIND(value) != 1:
            return -1
        length = units = PyUnicode_GET_LENGTH(value)
        if element.encoding == RAW or element.encoding == HEX_ASCII:
            if length & 1:
                return -1
            units = length >> 1
        if element.prefix == NO_PREFIX:
            if units != element.size:
                return -1
        elif <unsigned long long>units > element.writable:
            return -1
        if element.encoding == RAW:
            length = units
        elif element.encoding == BCD:
            length = (length + 1) >> 1
        elif element.encoding == SIGN_BCD:
            length = 1 + (length >> 1)
        return element.width + length

    cdef Py_ssize_t write_head(self, unsigned char* out, object header, object mti) noexcept:
        cdef const unsigned char* text
        cdef Py_ssize_t at = self.header
        cdef int place
        if not self.header:
            if header is not None and header != "":
                return -1
        else:
            if not PyUnicode_CheckExact(header) or not PyUnicode_IS_ASCII(header):
                return -1
            text = <const unsigned char*>PyUnicode_DATA(header)
            if PyUnicode_GET_LENGTH(header) != (self.header if self.header_text else 2 * self.header):
                return -1
            if self.header_text:
                memcpy(out, text, self.header)
            elif not self.pack(out, text, 2 * self.header, True):
                return -1
        if not PyUnicode_CheckExact(mti) or not PyUnicode_IS_ASCII(mti) or PyUnicode_GET_LENGTH(mti) != 4:
            return -1
        text = <const unsigned char*>PyUnicode_DATA(mti)
        for place in range(4):
            if not ALPHABETS[text[place]] & DIGITS:
                return -1
        if self.mti == BCD:
            self.pack(out + at, text, 4, True)
            return at + 2
        for place in range(4):
            out[at + place] = self.page_out[text[place]] if self.mti == EBCDIC else text[place]
        return at + 4

    cdef Py_ssize_t write_maps(self, unsigned char* out, unsigned long long* bits, int count) noexcept:
        cdef int which, place
        cdef unsigned long long word
        cdef unsigned char code
        for which in range(count):
            word = bits[which]
            if self.extension and which + 1 < count:
                word |= 1ULL << 63
            if self.map_bytes == 8:
                for place in range(8):
                    out[place] = word >> (56 - 8 * place) & 0xFF
            else:
                for place in range(16):
                    code = HEX[word >> (60 - 4 * place) & 0x0F]
                    out[place] = code + 32 if self.lower and code > 57 else code
            out += self.map_bytes
        return count * self.map_bytes

    cdef Py_ssize_t write_element(self, unsigned char* out, Element* element, object value) noexcept:
        """Write an element; return how many bytes it takes, -1 if it is not plainly right."""
        cdef const unsigned char* text = <const unsigned char*>PyUnicode_DATA(value)
        cdef Py_ssize_t length = PyUnicode_GET_LENGTH(value), at
        cdef Py_ssize_t units = length >> 1 if element.encoding == RAW or element.encoding == HEX_ASCII else length
        cdef int place
        cdef unsigned char code
        for place in range(element.width - 1, -1, -1):
            if element.prefix == BINARY_PREFIX:
                out[place] = units & 0xFF
                units >>= 8
            elif element.prefix == BCD_PREFIX:
                out[place] = units // 10 % 10 << 4 | units % 10
                units //= 100
            else:
                code = 48 + units % 10
                out[place] = self.page_out[code] if element.prefix == EBCDIC_PREFIX else code
                units //= 10
        out += element.width
        if element.encoding <= LATIN1:
            if element.encoding == ASCII and not PyUnicode_IS_ASCII(value):
                return -1
            if length:
                memcpy(out, text, length)
        elif element.encoding == EBCDIC:
            for at in range(length):
                out[at] = self.page_out[text[at]]
        elif element.encoding == HEX_ASCII:
            for at in range(length):
                if NIBBLES[text[at]] < 0:
                    return -1
                out[at] = HEX[NIBBLES[text[at]]]
        elif element.encoding == RAW:
            if not self.pack(out, text, length, True):
                return -1
            length >>= 1
        elif element.encoding == BCD:
            if length & 1 and element.pads_right:
                if not self.pack(out, text, length - 1, False) or not self.is_digit(text[length - 1]):
                    return -1
                out[length >> 1] = NIBBLES[text[length - 1]] << 4 | element.pad
            elif length & 1:
                if not self.is_digit(text[0]) or not self.pack(out + 1, text + 1, length - 1, False):
                    return -1
                out[0] = element.pad << 4 | NIBBLES[text[0]]
            elif not self.pack(out, text, length, False):
                return -1
            length = (length + 1) >> 1
        else:
            if text[0] > 127:
                return -1
            out[0] = text[0]
            if length & 1:
                if not self.pack(out + 1, text + 1, length - 1, False):
                    return -1
            else:
                if not self.is_digit(text[1]) or not self.pack(out + 2, text + 2, length - 2, False):
                    return -1
                out[1] = element.pad << 4 | NIBBLES[text[1]]
            length = 1 + (length >> 1)
        return element.width + length

    cdef bint is_digit(self, unsigned char code) noexcept:
        """Tell whether a character is a digit of BCD, small letters excepted."""
        return NIBBLES[code] >= 0 and code < 97

    cdef bint pack(self, unsigned char* out, const unsigned char* text, Py_ssize_t length, bint small) noexcept:
        """Write hex digits two a byte; false if there is another character, or a small letter where `small` are none."""
        cdef Py_ssize_t at
        cdef int high, low
        for at in range(0, length - 1, 2):
            high, low = NIBBLES[text[at]], NIBBLES[text[at + 1]]
            if high < 0 or low < 0 or (not small and (text[at] > 96 or text[at + 1] > 96)):
                return False
            out[at >> 1] = high << 4 | low
        return True
