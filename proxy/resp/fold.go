package resp

// EqualFold reports ASCII case-insensitive equality of b and lower, which must be in lower case. A NUL
// byte ends b, as it does for the server's strcasecmp: "AUTH\x00" is the option AUTH. It does not
// allocate. Only A-Z are folded, as Redis folds command names.
func EqualFold(b []byte, lower string) bool {
	if len(b) > len(lower) && b[len(lower)] == 0 {
		b = b[:len(lower)]
	}
	if len(b) != len(lower) {
		return false
	}
	for i := 0; i < len(lower); i++ {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
