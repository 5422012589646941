package resp

import (
	"bytes"
	"fmt"
)

const (
	maxParseDepth    = 32
	maxParseElements = 1 << 20
)

// Value is a reply as a tree, for the few replies that the proxy itself must read. Its Str fields
// alias the bytes that were parsed.
type Value struct {
	Type  byte    // the type byte
	Str   []byte  // + - $ ! = , (: the text; of = without its format and colon
	Int   int64   // : the number; # 1 for true
	Null  bool    // $-1, *-1 or _
	Elems []Value // * ~ > %: the elements, of a map keys and values in turn
}

// Parse reads the whole reply at the start of p, and its length n. Attributes are skipped. The
// error wraps ErrIncomplete, ErrMalformed or ErrTooComplex (nested deeper than 32, or more than
// 1,048,576 elements in all).
func Parse(p []byte) (v Value, n int, err error) {
	r := parser{buf: p, budget: maxParseElements}
	v, err = r.value(0)
	return v, r.pos, err
}

type parser struct {
	buf    []byte
	pos    int
	budget int // elements that may still come
}

func (r *parser) value(depth int) (Value, error) {
	for {
		v, attribute, err := r.element(depth)
		if err != nil || !attribute {
			return v, err
		}
	}
}

// element reads one element; attribute reports that it was an attribute, so the value follows.
func (r *parser) element(depth int) (v Value, attribute bool, err error) {
	line, err := r.line()
	if err != nil {
		return v, false, err
	}
	v.Type = line[0]
	text := line[1:]
	switch v.Type {
	case '+', '-', ',', '(':
		v.Str = text
	case '_':
		v.Null = true
		if len(text) > 0 {
			err = fmt.Errorf("%w: a null with %q", ErrMalformed, text)
		}
	case '#':
		v.Int, err = parseBool(text)
	case ':':
		v.Int, err = parseNumber(text)
	case '$', '!', '=':
		err = r.bulk(&v, text)
	case '*', '~', '>', '%', '|':
		err = r.aggregate(&v, text, depth)
	default:
		err = fmt.Errorf("%w: got %q, want a type", ErrMalformed, v.Type)
	}
	return v, v.Type == '|', err
}

// line takes a line of at least one byte, its type.
func (r *parser) line() ([]byte, error) {
	if r.budget--; r.budget < 0 {
		return nil, ErrTooComplex
	}
	rest := r.buf[r.pos:]
	i := bytes.Index(rest, []byte("\r\n"))
	if i < 0 {
		return nil, ErrIncomplete
	}
	if i == 0 {
		return nil, fmt.Errorf("%w: an empty line", ErrMalformed)
	}
	r.pos += i + 2
	return rest[:i:i], nil
}

func (r *parser) bulk(v *Value, text []byte) error {
	size, err := parseNumber(text)
	if err != nil {
		return err
	}
	if size == -1 && v.Type == '$' {
		v.Null = true
		return nil
	}
	if size < 0 {
		return fmt.Errorf("%w: %q of length %d", ErrMalformed, v.Type, size)
	}
	rest := r.buf[r.pos:]
	if size > int64(len(rest)-2) {
		return ErrIncomplete
	}
	if rest[size] != '\r' || rest[size+1] != '\n' {
		return fmt.Errorf("%w: no CR LF after a bulk", ErrMalformed)
	}
	v.Str = rest[:size:size]
	r.pos += int(size) + 2
	if v.Type == '=' {
		if len(v.Str) < 4 || v.Str[3] != ':' {
			return fmt.Errorf("%w: verbatim text without a format", ErrMalformed)
		}
		v.Str = v.Str[4:]
	}
	return nil
}

func (r *parser) aggregate(v *Value, text []byte, depth int) error {
	count, err := parseNumber(text)
	if err != nil {
		return err
	}
	if count == -1 && v.Type == '*' {
		v.Null = true
		return nil
	}
	if count < 0 {
		return fmt.Errorf("%w: %q of length %d", ErrMalformed, v.Type, count)
	}
	if depth >= maxParseDepth || count > int64(r.budget) {
		return ErrTooComplex
	}
	if v.Type == '%' || v.Type == '|' {
		count *= 2
	}
	if count > int64(len(r.buf)-r.pos)/3 { // the shortest element is "_\r\n"
		return ErrIncomplete
	}
	v.Elems = make([]Value, count)
	for i := range v.Elems {
		if v.Elems[i], err = r.value(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

func parseNumber(text []byte) (int64, error) {
	n, ok := parseInt(text)
	if !ok {
		return 0, fmt.Errorf("%w: got %q, want a number", ErrMalformed, text)
	}
	return n, nil
}

func parseBool(text []byte) (int64, error) {
	switch string(text) {
	case "t":
		return 1, nil
	case "f":
		return 0, nil
	}
	return 0, fmt.Errorf("%w: got %q, want t or f", ErrMalformed, text)
}
