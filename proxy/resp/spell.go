package resp

// The proxy's own commands share connections with the clients' commands. In MONITOR and in the slow
// log only their spelling distinguishes them, so no client's command may keep that spelling.

// Spell returns the name of a command as the proxy spells its own: in mixed case, beginning in lower
// case (sElEcT). The server knows it in any case.
func Spell(name string) string {
	out := []byte(name)
	for i := range out {
		out[i] = spelled(out[i], i)
	}
	return string(out)
}

// Spelled reports whether a command's name is spelled as the proxy's own.
func Spelled(name []byte) bool {
	for i, c := range name {
		if c != spelled(c, i) {
			return false
		}
	}
	return LooksSpelled(name)
}

// LooksSpelled reports whether a name begins like a spelled one. It runs for every client command,
// so it is cheaper than Spelled.
func LooksSpelled(name []byte) bool {
	return len(name) > 1 && name[1]-'A' < 26 && name[0]-'a' < 26
}

// Unspell turns a name that LooksSpelled into lower case, in place.
func Unspell(name []byte) {
	for i, c := range name {
		if c-'A' < 26 {
			name[i] = c + ('a' - 'A')
		}
	}
}

// spelled returns the letter c as it stands at index i of a spelled name.
func spelled(c byte, i int) byte {
	switch upper := i%2 == 1; {
	case upper && c-'a' < 26:
		return c - ('a' - 'A')
	case !upper && c-'A' < 26:
		return c + ('a' - 'A')
	}
	return c
}
