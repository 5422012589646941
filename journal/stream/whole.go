package stream

// whole parses a command that stands whole in p, as most do, without copying: the arguments are
// pieces of p. It returns its size; 0 means that there is no such command, for any reason, and that
// nothing has changed.
func (s *Scanner) whole(p []byte) int {
	count, at := header(p, 0, '*')
	if count <= 0 || count > KeepArgs {
		return 0
	}
	s.slots = s.slots[:0]
	cut := false
	for range count {
		size, text := header(p, at, '$')
		if size < 0 || size > len(p)-text-2 || p[text+size] != '\r' || p[text+size+1] != '\n' {
			return 0
		}
		at = text + size + 2
		kept := min(size, s.maxArg)
		cut = cut || kept < size
		s.slots = append(s.slots, p[text:text+kept:text+kept])
	}
	s.cmd.Args, s.cmd.Cut = s.slots, cut
	return at
}

// header reads a line of a sign and a number that begins at p[at]. -1: there is none, or it needs
// the careful path.
func header(p []byte, at int, sign byte) (n, next int) {
	const digits = 9 // at most, so that nothing overflows
	if len(p)-at < 4 || p[at] != sign {
		return -1, 0
	}
	line := p[at+1 : min(len(p), at+1+digits+2)]
	for i, c := range line {
		if c -= '0'; c <= 9 {
			n = n*10 + int(c)
			continue
		}
		if i == 0 || i+1 >= len(line) || line[i] != '\r' || line[i+1] != '\n' {
			return -1, 0
		}
		return n, at + i + 3
	}
	return -1, 0
}
