package proxy_test

import (
	"bufio"
	"embed"
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The scripts of testdata/differential are run twice, directly against one server and through the
// proxy against another of the same kind; what the clients see must be the same, byte for byte.
//
// A line is "CLIENT> COMMAND" with Go-quoted arguments where they are not plain words, sent as an
// array; "CLIENT~ TEXT" sends an inline line as it is; "CLIENT< N" reads N replies. Each of the
// first two is followed by as many replies as commands were sent, or as "CLIENT*N>" says; N may be
// 0. "CLIENT!" expects the end of the connection. A client is connected when it first appears.
//
//go:embed testdata/differential
var scripts embed.FS

func TestDifferential(t *testing.T) {
	t.Parallel()
	files, err := scripts.ReadDir("testdata/differential")
	if err != nil {
		t.Fatal(err)
	}
	for _, bin := range proxytest.Binaries(t) {
		for _, f := range files {
			text, err := scripts.ReadFile(path.Join("testdata/differential", f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			t.Run(bin.String()+"/"+strings.TrimSuffix(f.Name(), ".txt"), func(t *testing.T) {
				direct := proxytest.Spec{Kind: bin.Kind}.Start(t)
				want := playScript(t, direct.Addr, string(text))
				for _, step := range want {
					if strings.HasSuffix(step, "then nothing\n") {
						t.Fatalf("the script waits for what no server says:\n%s", step)
					}
				}
				for _, driver := range drivers {
					for _, workers := range []int{1, 3} {
						if bin.Kind != "valkey" && (driver != drivers[0] || workers > 1) {
							continue
						}
						t.Run(fmt.Sprintf("%s-%d", driver, workers), func(t *testing.T) {
							srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
							addr := serve(t, srv.Addr, func(o *proxy.Options) {
								o.Driver, o.Workers = driver, workers
							})
							compare(t, playScript(t, addr, string(text)), want)
						})
					}
				}
			})
		}
	}
}

// drivers are the event loops' drivers of this system.
var drivers = []string{"epoll", "portable"}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("through the proxy:\n%s\ndirectly:\n%s", got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d steps, want %d", len(got), len(want))
	}
}

var scriptLine = regexp.MustCompile(`^(\w+)(?:\*(\d+))?([>~<!]) ?(.*)$`)

// playScript returns each line with what came back. What did not come is noted there as well.
func playScript(t *testing.T, addr, text string) []string {
	t.Helper()
	clients := map[string]*conn{}
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		m := scriptLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a line of a script: %q", line)
		}
		c := clients[m[1]]
		if c == nil {
			c = dial(t, addr)
			clients[m[1]] = c
		}
		n := 1
		switch m[3] {
		case ">":
			c.send(proxytest.Command(words(t, m[4])...))
		case "~":
			c.send(strings.ReplaceAll(m[4], `\r\n`, "\r\n") + "\r\n")
		case "<":
			n, _ = strconv.Atoi(m[4])
		case "!":
			n = 1 // the error of reading it is what is compared
		}
		if m[2] != "" {
			n, _ = strconv.Atoi(m[2])
		}
		out = append(out, line+"\n"+c.replies(n, line))
	}
	return out
}

// words splits a line into arguments; those in double quotes are as in Go.
func words(t *testing.T, line string) []string {
	var out []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			out, line = append(out, word), rest
			continue
		}
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		word, err := strconv.Unquote(q)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out, line = append(out, word), line[len(q):]
	}
	return out
}

// replies reads n replies, made comparable.
func (c *conn) replies(n int, command string) string {
	var b strings.Builder
	for range n {
		c.SetReadDeadline(time.Now().Add(scriptPatience))
		s, err := readReply(c.r)
		if err != nil {
			why := "the end"
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				why = "nothing"
			}
			fmt.Fprintf(&b, "  %q, then %s\n", s, why)
			c.r = bufio.NewReader(c.Conn)
			break
		}
		fmt.Fprintf(&b, "  %s\n", mask(command, s))
	}
	return b.String()
}

// scriptPatience is how long a script waits for a reply that may be missing.
const scriptPatience = 10 * time.Second

var (
	masks = regexp.MustCompile(`\b(id|addr|laddr|fd|age|idle|qbuf|qbuf-free|argv-mem|multi-mem|` +
		`rbs|rbp|obl|oll|omem|tot-mem|tot-net-in|tot-net-out|tot-cmds|events|io-thread|watch|redir)=\S*`)
	maskID      = regexp.MustCompile(`(\$2\r\nid\r\n):\d+`)
	maskNumber  = regexp.MustCompile(`^:\d+`)
	maskLength  = regexp.MustCompile(`^([$=])\d+`)
	maskMonitor = regexp.MustCompile(`^\+[\d.]+ \[(\d+) \S+\]`)
)

// mask takes out of a reply what differs between any two connections.
func mask(command, reply string) string {
	upper := strings.ToUpper(command)
	switch {
	case strings.Contains(upper, "CLIENT ID"), strings.Contains(upper, "CLIENT GETREDIR"):
		reply = maskNumber.ReplaceAllString(reply, ":ID")
	case strings.Contains(upper, "CLIENT LIST"), strings.Contains(upper, "CLIENT INFO"):
		reply = maskLength.ReplaceAllString(masks.ReplaceAllString(reply, "$1=*"), "$1*")
		head, body, _ := strings.Cut(reply, "\r\n")
		lines := strings.Split(strings.TrimSpace(body), "\n")
		slices.Sort(lines)
		reply = head + " " + strings.Join(lines, " | ")
	case strings.Contains(upper, "HELLO"):
		reply = maskID.ReplaceAllString(reply, "$1:ID")
	case maskMonitor.MatchString(reply):
		reply = maskMonitor.ReplaceAllString(reply, "+TIME [$1 ADDR]")
	}
	return fmt.Sprintf("%q", reply)
}
