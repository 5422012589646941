package resp

import "math"

// parseInt reads a whole number as strictly as Redis's string2ll (util.c): digits with an optional
// minus sign and nothing else. The empty string, a plus sign, leading zeros, "-0", blanks and
// numbers beyond int64 are refused, so every number has exactly one spelling.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 1 && b[0] == '0' {
		return 0, true
	}
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 || b[0] < '1' || b[0] > '9' {
		return 0, false
	}
	var v uint64 // 19 digits always fit
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	switch {
	case !negative && v <= math.MaxInt64:
		return int64(v), true
	case negative && v <= math.MaxInt64+1:
		return -int64(v), true
	}
	return 0, false
}

// digits returns how many decimal digits v >= 0 has.
func digits(v int) int {
	n := 1
	for ; v >= 10; v /= 10 {
		n++
	}
	return n
}
