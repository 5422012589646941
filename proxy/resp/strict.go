package resp

// progress is the position at which strict stopped: the state of a half-read frame without its
// sizes, which are those of the Scratch's args.
type progress struct {
	pos   int // start of the next line
	first int // start of the first argument's line; 0 before the count line was read
	left  int // arguments still to come
}

// strict reads a multibulk command of the form that clients send: CR and LF everywhere, numbers of
// a few digits, no limit reached. Nearly every frame has that form, and this is one tight loop. At
// anything else, including the end of buf, it stops before the line in question and half continues
// there. It refuses nothing itself. After a whole frame no arguments are left.
func (sc *Scratch) strict(buf []byte, lim *Limits) (at progress) {
	if buf[0] != '*' || lim.unauthenticated() {
		return progress{}
	}
	count, pos := shortNumber(buf, 1)
	if pos == 0 || count == 0 || int64(count) > lim.maxArgs() {
		return progress{}
	}
	at = progress{pos: pos, first: pos, left: count}
	maxBulk := int(lim.maxBulk())
	args := sc.words.args
	for ; at.left > 0; at.left-- {
		line := buf[at.pos:]
		if len(line) < len("$0\r\n\r\n") || line[0] != '$' {
			break
		}
		size, start := int(line[1]-'0'), 4
		if size > 9 || line[2] != '\r' || line[3] != '\n' {
			if size, start = shortNumber(line, 1); start == 0 {
				break
			}
		}
		end := start + size
		if size > maxBulk || end+1 >= len(line) || line[end] != '\r' || line[end+1] != '\n' {
			break
		}
		args = append(args, line[start:end:end])
		at.pos += end + 2
	}
	sc.words.args = args
	return at
}

// shortNumber reads a number of at most seven digits at buf[i] and the CR and LF after it. end is
// the start of the next line, or 0 if buf[i:] has another form. Numbers of one and two digits, the
// common sizes of arguments, need no loop.
func shortNumber(buf []byte, i int) (v, end int) {
	if i+3 > len(buf) {
		return 0, 0
	}
	p := buf[i:]
	d0, d1 := p[0]-'0', p[1]-'0'
	if d0 > 9 {
		return 0, 0
	}
	if p[1] == '\r' && p[2] == '\n' {
		return int(d0), i + 3
	}
	if d0 == 0 || d1 > 9 { // parseInt refuses leading zeros
		return 0, 0
	}
	if len(p) > 3 && p[2] == '\r' && p[3] == '\n' {
		return int(d0)*10 + int(d1), i + 4
	}
	return longerNumber(buf, i)
}

// longerNumber is shortNumber without the shortcuts. The first digit is not zero.
func longerNumber(buf []byte, i int) (v, end int) {
	start := i
	for ; i < len(buf) && i-start < 7; i++ {
		d := buf[i] - '0'
		if d > 9 {
			break
		}
		v = v*10 + int(d)
	}
	if i+1 >= len(buf) || buf[i] != '\r' || buf[i+1] != '\n' {
		return 0, 0
	}
	return v, i + 2
}

// begin makes the half-read frame in buf from strict's progress, and clears the args.
func (sc *Scratch) begin(buf []byte, at progress) *half {
	h := sc.take()
	h.inline = buf[0] != '*'
	h.pos, h.seen, h.first, h.left = at.pos, at.pos, at.first, at.left
	for _, arg := range sc.words.args {
		h.sizes = append(h.sizes, len(arg))
	}
	clear(sc.words.args)
	sc.words.args = sc.words.args[:0]
	return h
}
