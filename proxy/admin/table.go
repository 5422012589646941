package admin

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// table aligns rows in columns as wide as their widest cell.
type table struct {
	head []string
	rows [][]string
}

// row adds a row; the cells are formatted by cell.
func (t *table) row(cells ...any) {
	r := make([]string, len(cells))
	for i, c := range cells {
		r[i] = cell(c)
	}
	t.rows = append(t.rows, r)
}

// lines returns the table, with its head if it has one.
func (t *table) lines() []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if t.head != nil {
		fmt.Fprintln(w, strings.Join(t.head, "\t"))
	}
	for _, r := range t.rows {
		fmt.Fprintln(w, strings.Join(r, "\t")) // cells hold no tabs: see Clean
	}
	_ = w.Flush() // a builder takes everything
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// counted returns a number with its noun: "1 link", "2 links".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// cell formats a value for a table; an empty one is "-", so that columns can be counted.
func cell(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "-"
		}
		return Clean(v)
	case time.Duration:
		return Duration(v)
	case byteSize:
		return v.String()
	case ref:
		if v == 0 {
			return "-"
		}
		return strconv.FormatUint(uint64(v), 10)
	default:
		return fmt.Sprint(v)
	}
}

// ref is an id; 0: none.
type ref uint64

// byteSize is a number of bytes, shown exactly below 10 KiB, then with three digits.
type byteSize uint64

// String implements fmt.Stringer.
func (n byteSize) String() string {
	if n < 10<<10 {
		return strconv.FormatUint(uint64(n), 10) + "B"
	}
	f, unit := float64(n), -1
	for f >= 1000 && unit < len("KMGTPE")-1 {
		f /= 1024
		unit++
	}
	digits := 2
	if f >= 100 {
		digits = 0
	} else if f >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + "KMGTPE"[unit:unit+1] + "iB"
}

// Size formats a number of bytes.
func Size(n int64) string { return size(n).String() }

// Duration formats a length of time in at most two units.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Truncate(precision(d)).String()
	case d < time.Minute:
		return d.Truncate(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d/time.Second%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d/time.Minute%60)
	default:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d/time.Hour%24)
	}
}

// precision leaves three digits of a duration below a second.
func precision(d time.Duration) time.Duration {
	p := time.Nanosecond
	for d >= 1000*p {
		p *= 10
	}
	return p
}

// Clean makes a client's string harmless to a terminal and to a page: an unprintable character, as in an
// escape sequence or one that turns the direction of writing, becomes '?'.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
