package resp

import (
	"os"
	"strings"
	"testing"
)

// Each of the proxy's own errors names a chapter that exists, once, and other errors name none.
func TestOwnError(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range OwnCodes {
		if !strings.Contains(string(page), "\n## "+code+"\n") {
			t.Errorf("docs/errors.md has no chapter about %s", code)
		}
		want := code + " a; see docs/errors.md#" + strings.ToLower(code)
		if got := OwnError(code + " a"); got != want || OwnError(got) != want {
			t.Errorf("%q, and again %q; want %q", got, OwnError(got), want)
		}
		if got := string(AppendOwnError([]byte("x"), code+" a\r\nb")); got != "x-"+code+" a  b; see docs/errors.md#"+strings.ToLower(code)+"\r\n" {
			t.Errorf("%q", got)
		}
	}
	for _, text := range []string{"ERR syntax error", "NOPERM DENIED", "DENIEDX y", ""} {
		if got := OwnError(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
