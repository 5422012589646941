package resp

import "strconv"

// The writers append one frame, or the head of one, to dst and return it. proto is the protocol
// version of the client, 2 or 3. For a type that RESP2 lacks they write the type that Redis sends
// to a RESP2 client.

// AppendCommand appends a command as a multibulk request.
func AppendCommand(dst []byte, args ...[]byte) []byte {
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulk(dst, arg)
	}
	return dst
}

// AppendCommandStrings is AppendCommand for strings.
func AppendCommandStrings(dst []byte, args ...string) []byte {
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulkString(dst, arg)
	}
	return dst
}

// AppendSimple appends a simple string, such as OK. CR and LF in s become spaces.
func AppendSimple(dst []byte, s string) []byte { return appendLine(dst, '+', s) }

// AppendError appends an error. s includes the code, as in "ERR foo". CR and LF in s become
// spaces, as in Redis.
func AppendError(dst []byte, s string) []byte { return appendLine(dst, '-', s) }

// AppendInt appends an integer.
func AppendInt(dst []byte, v int64) []byte { return appendNumber(dst, ':', v) }

// AppendBulk appends a bulk string. Nil is an empty one, see AppendNull.
func AppendBulk(dst, b []byte) []byte {
	dst = appendNumber(dst, '$', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// AppendBulkString is AppendBulk for a string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendNumber(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendNull appends the absence of a value: the null bulk string of RESP2.
func AppendNull(dst []byte, proto int) []byte {
	if proto == 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendArray appends the head of an array of n elements, which the caller appends next.
func AppendArray(dst []byte, n int) []byte { return appendNumber(dst, '*', int64(n)) }

// AppendMap appends the head of a map of n pairs: in RESP2 an array of 2n elements.
func AppendMap(dst []byte, n, proto int) []byte {
	if proto == 3 {
		return appendNumber(dst, '%', int64(n))
	}
	return AppendArray(dst, 2*n)
}

// AppendSet appends the head of a set of n elements: in RESP2 an array.
func AppendSet(dst []byte, n, proto int) []byte {
	if proto == 3 {
		return appendNumber(dst, '~', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendVerbatim appends text in a format of three letters, "txt" or "mkd": in RESP2 a bulk
// string without the format.
func AppendVerbatim(dst []byte, proto int, format, s string) []byte {
	if proto != 3 {
		return AppendBulkString(dst, s)
	}
	dst = appendNumber(dst, '=', int64(len(format)+1+len(s)))
	dst = append(dst, format...)
	dst = append(dst, ':')
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

func appendLine(dst []byte, typ byte, s string) []byte {
	dst = append(dst, typ)
	from := len(dst)
	dst = append(dst, s...)
	for i, c := range dst[from:] {
		if c == '\r' || c == '\n' {
			dst[from+i] = ' '
		}
	}
	return append(dst, '\r', '\n')
}

func appendNumber(dst []byte, typ byte, v int64) []byte {
	if 0 <= v && v <= 9 {
		return append(dst, typ, byte('0'+v), '\r', '\n')
	}
	dst = strconv.AppendInt(append(dst, typ), v, 10)
	return append(dst, '\r', '\n')
}
