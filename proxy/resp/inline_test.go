package resp

import (
	"slices"
	"testing"
)

var inlineLines = []struct {
	line string
	want []string // nil for unbalanced quotes
}{
	{"", []string{}},
	{" \t\v\f\r\n ", []string{}},
	{"a", []string{"a"}},
	{"  set  k\tv ", []string{"set", "k", "v"}},
	{"a\vb\fc d", []string{"a\vb\fc", "d"}},
	{"\va", []string{"a"}},
	{"a\rb\nc", []string{"a", "b", "c"}},
	{"a\x00b c", []string{"a"}},
	{"\x00", []string{}},
	{`""`, []string{""}},
	{`'' ""`, []string{"", ""}},
	{`a"b c"`, []string{"ab c"}},
	{`a'b c' d`, []string{"ab c", "d"}},
	{`"a"b`, nil},
	{`'a'b`, nil},
	{`"a""b"`, nil},
	{"\"a\"\vb", []string{"a", "b"}},
	{`"a`, nil},
	{`'a`, nil},
	{`"`, nil},
	{`a"`, nil},
	{`"a\`, nil},
	{`"a\"`, nil},
	{`"a\""`, []string{`a"`}},
	{`"\n\r\t\b\a\\\q"`, []string{"\n\r\t\b\a\\q"}},
	{`"\x41\x0a\xfF\x00"`, []string{"A\n\xff\x00"}},
	{`"\x4"`, []string{"x4"}},
	{`"\xg1"`, []string{"xg1"}},
	{`"\x"`, []string{"x"}},
	{`"\X41"`, []string{"X41"}},
	{`'\n\x41'`, []string{`\n\x41`}},
	{`'it\'s'`, []string{"it's"}},
	{`'a\\'`, nil},
	{`'a\\b'`, []string{`a\\b`}},
	{`'a\`, nil},
	{`a\n b\"c"`, []string{`a\n`, `b\c`}},
	{"\"a\x00\"", nil},
	{`"a" 'b' c "d e" "f"`, []string{"a", "b", "c", "d e", "f"}},
}

// splitInline splits one line by itself.
func splitInline(line []byte, d Dialect) (args [][]byte, ok bool) {
	var s splitter
	ok = s.split(line, d)
	if !ok {
		return nil, false
	}
	return s.args, true
}

func TestSplitInline(t *testing.T) {
	for _, tt := range inlineLines {
		args, ok := splitInline([]byte(tt.line), 0)
		got := []string{}
		for _, arg := range args {
			got = append(got, string(arg))
		}
		if ok != (tt.want != nil) || ok && !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.line, got, ok, tt.want)
		}
	}
}

// TestSplitInlineDialects: what newer servers make of words that others refuse or keep.
func TestSplitInlineDialects(t *testing.T) {
	glued := GluedQuotes | LosesFF
	for _, tt := range []struct {
		line string
		d    Dialect
		want []string
	}{
		{`"a"b`, glued, []string{"ab"}},
		{`'a'b"c"'' d`, glued, []string{"abc", "d"}},
		{`a"b c"d`, glued, []string{"ab cd"}},
		{`"a"""`, glued, []string{"a"}},
		{"\"a\"\vb", glued, []string{"a\vb"}},
		{`'a\\'`, glued, nil},
		{`'a\\'`, LastBackslash, []string{`a\\`}},
		{`"a\"`, LastBackslash, []string{`a\`}},
		{`"a\" b"`, LastBackslash, []string{`a" b`}},
		{`"a\n`, LastBackslash, nil},
		{`"a"b"`, glued, nil},
		{`a"b`, glued, nil},
		{`"a"b`, LosesFF, nil},
		{"\xffa\xff b", LosesFF, []string{"a", "b"}},
		{"\xff", LosesFF, []string{""}},
		{"\"\xff\\xff\\\xff\" '\xffa'", LosesFF, []string{"\xff", "a"}},
		{"\xffa\xff", 0, []string{"\xffa\xff"}},
		{"\xffa\"\xff\"", 0, []string{"\xffa\xff"}},
	} {
		args, ok := splitInline([]byte(tt.line), tt.d)
		got := []string{}
		for _, arg := range args {
			got = append(got, string(arg))
		}
		if ok != (tt.want != nil) || ok && !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.line, got, ok, tt.want)
		}
	}
}

// TestSplitInlineArgsAreSeparate appends to each word: no other word and not the line may change.
func TestSplitInlineArgsAreSeparate(t *testing.T) {
	line := []byte(`a "b\x41" c "d" e`)
	args, _ := splitInline(line, 0)
	for i := range args {
		_ = append(args[i], "!!!"...)
	}
	var got []string
	for _, arg := range args {
		got = append(got, string(arg))
	}
	if want := []string{"a", "bA", "c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if string(line) != `a "b\x41" c "d" e` {
		t.Errorf("the line is now %q", line)
	}
}
