package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithUpstream(t *testing.T) {
	const to = "[fd00::7]:6400"
	for name, row := range map[string]struct{ text, want string }{
		"block": {"# the server\nupstream:\n  hold: 5s # as agreed\n  address: 10.0.0.5:6379   # db-a\nworkers: 2\n",
			"# the server\nupstream:\n  hold: 5s # as agreed\n  address: \"[fd00::7]:6400\"   # db-a\nworkers: 2\n"},
		"flow, ended by a brace": {"upstream: {hold: 1s, address: 'a:1'}\n",
			"upstream: {hold: 1s, address: \"[fd00::7]:6400\"}\n"},
		"double quotes": {"upstream: { \"address\" : \"a:1\" , hold: 1s}\n",
			"upstream: { \"address\" : \"[fd00::7]:6400\" , hold: 1s}\n"},
		"CR LF and a byte order mark": {"\xef\xbb\xbfworkers: 1\r\nupstream:\r\n  address: a:1\r\n  hold: 1s\r\n",
			"\xef\xbb\xbfworkers: 1\r\nupstream:\r\n  address: \"[fd00::7]:6400\"\r\n  hold: 1s\r\n"},
		"characters of several bytes before it": {"upstream: {password: \"жж€\", address: a:1}\n",
			"upstream: {password: \"жж€\", address: \"[fd00::7]:6400\"}\n"},
		"no end of the line":    {"upstream:\n  address: a:1", "upstream:\n  address: \"[fd00::7]:6400\""},
		"the same text earlier": {"# address: a:1\nupstream:\n  # a:1\n  address: a:1\n", "# address: a:1\nupstream:\n  # a:1\n  address: \"[fd00::7]:6400\"\n"},
		"it is there already":   {"upstream: {address: '[fd00::7]:6400'}\n", "upstream: {address: '[fd00::7]:6400'}\n"},
	} {
		got, err := WithUpstream("f.yaml", []byte(row.text), to)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: %v\n%q, want\n%q", name, err, got, row.want)
		}
	}
	for name, row := range map[string]struct{ text, want string }{
		"no section":     {"workers: 1\n", "f.yaml: upstream: has no address of its own (127.0.0.1:6379 is the default)"},
		"no address":     {"workers: 1\nupstream:\n  hold: 1s\n", "f.yaml:3:3: upstream: has no address of its own"},
		"a block scalar": {"upstream:\n  address: >-\n    a:1\n", "f.yaml:2:12: upstream.address: is written in a form that is not replaced"},
		"an escape":      {"upstream:\n  address: \"\\x61:1\"\n", "f.yaml:2:12: upstream.address: is written in a form"},
		"not valid":      {"upstream:\n  adress: a:1\n", "f.yaml:2:3: upstream: unknown key"},
		"a listener": {"listeners: [{address: '[::]:6400'}]\nupstream:\n  address: a:1\n",
			"f.yaml:3:12: upstream.address: "},
	} {
		address := to
		if name == "a listener" {
			address = "[::1]:6400"
		}
		_, err := WithUpstream("f.yaml", []byte(row.text), address)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
}

// Each sample file keeps everything but the address.
func TestWithUpstreamOfTheSamples(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(file, text)
		if err != nil || c.origin.at["upstream.address"] == (position{}) {
			continue // not a configuration of the proxy, or without an address
		}
		got, err := WithUpstream(file, text, "10.9.8.7:1234")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		seen++
		was := bytes.Split(text, []byte("\n"))
		for i, line := range bytes.Split(got, []byte("\n")) {
			if changed := !bytes.Equal(line, was[i]); changed != bytes.Contains(line, []byte(`"10.9.8.7:1234"`)) {
				t.Errorf("%s:%d: %q", file, i+1, line)
			}
		}
	}
	if seen == 0 {
		t.Error("no sample has an address")
	}
}
