package admin

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/resp"
)

// A client library greets and names itself by itself.
func TestClientLibrary(t *testing.T) {
	for _, proto := range []int{2, 3} {
		s := start(t, Options{Password: "s3cret"}, &fakeBackend{})
		rdb := redis.NewClient(&redis.Options{
			Addr: s.Addr().String(), Password: "s3cret", Protocol: proto, ClientName: "ops",
		})
		t.Cleanup(func() { _ = rdb.Close() })
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := rdb.Ping(ctx).Err(); err != nil {
			t.Errorf("RESP%d: PING: %v", proto, err)
		}
		got, err := rdb.Do(ctx, "SHOW", "STATS", "JSON").Text()
		if err != nil || !strings.Contains(got, `"server":"valkey"`) {
			t.Errorf("RESP%d: SHOW STATS JSON: %q, %v", proto, got, err)
		}
	}
}

// cli runs the command line client that came with a server.
func cli(t *testing.T, b proxytest.Binary, s *Server, args ...string) string {
	t.Helper()
	name := "redis-cli"
	if b.Kind == "valkey" {
		name = "valkey-cli"
	}
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(b.Path), name),
		append([]string{"-p", port}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out.String())
	}
	return out.String()
}

func TestCommandLineClients(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	closed := start(t, Options{Password: "s3cret"}, &fakeBackend{})
	rules := dial(t, s).text("SHOW RULES")
	for _, b := range proxytest.Binaries(t) {
		t.Run(b.String(), func(t *testing.T) {
			for _, row := range []struct {
				server *Server
				args   string
				want   string
			}{
				{s, "PING", "PONG\n"},
				{s, "SHOW RULES", rules},
				{s, "-3 SHOW RULES", rules},
				{s, "SHOW LINKS NONSENSE", "ERR syntax error. Usage: SHOW LINKS [JSON]\n\n"},
				{s, "-3 SHOW LINKS NONSENSE", "ERR syntax error. Usage: SHOW LINKS [JSON]\n\n"},
				{closed, "--no-auth-warning -a s3cret SHOW RULES", rules},
				{closed, "--no-auth-warning --user default -a s3cret -3 SHOW RULES", rules},
				{closed, "SHOW RULES", "NOAUTH Authentication required.\n\n"},
			} {
				if got := cli(t, b, row.server, strings.Fields(row.args)...); got != row.want {
					t.Errorf("%s:\n got %q\nwant %q", row.args, got, row.want)
				}
			}
			if got := cli(t, b, s, "INFO"); !strings.HasPrefix(got, "# Server\r\n") {
				t.Errorf("INFO: %q", got)
			}
		})
	}
}

// The shapes that redis-cli asserts; it ends with a core dump where one differs.
func TestCommandDocs(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	for _, hello := range []string{"HELLO 2", "HELLO 3"} {
		c := dial(t, s)
		c.do(hello)
		v, _, err := resp.Parse([]byte(c.do("COMMAND DOCS")))
		if err != nil {
			t.Fatal(err)
		}
		docs := docsMap(t, v)
		if len(docs) != len(containers()) {
			t.Errorf("%s: %d commands, want %d", hello, len(docs), len(containers()))
		}
		show := checkDocs(t, "show", docs["show"])
		sessions := checkDocs(t, "show|sessions", docsMap(t, show["subcommands"])["show|sessions"])
		arg := docsMap(t, sessions["arguments"].Elems[0])
		if got := string(arg["display_text"].Str); got != "[LIMIT n] [MATCH pattern] [JSON]" {
			t.Errorf("%s: arguments of SHOW SESSIONS: %q", hello, got)
		}
		for name, d := range docs {
			checkDocs(t, name, d)
		}
		one, _, err := resp.Parse([]byte(c.do("COMMAND DOCS show NOPE")))
		if err != nil || len(docsMap(t, one)) != 1 {
			t.Errorf("%s: COMMAND DOCS show: %v, %v", hello, one, err)
		}
		c.expect("COMMAND COUNT", string(resp.AppendInt(nil, int64(len(docs)))))
		table, _, err := resp.Parse([]byte(c.do("COMMAND")))
		if err != nil || len(table.Elems) != len(docs) || len(table.Elems[0].Elems) != 6 {
			t.Errorf("%s: COMMAND: %v, %v", hello, table, err)
		}
	}
}

func docsMap(t *testing.T, v resp.Value) map[string]resp.Value {
	t.Helper()
	if v.Type != '%' && v.Type != '*' || len(v.Elems)%2 != 0 {
		t.Fatalf("type %c with %d elements, want a map", v.Type, len(v.Elems))
	}
	m := map[string]resp.Value{}
	for i := 0; i < len(v.Elems); i += 2 {
		if v.Elems[i].Type != '$' {
			t.Fatalf("a key of type %c, want a bulk string", v.Elems[i].Type)
		}
		m[string(v.Elems[i].Str)] = v.Elems[i+1]
	}
	return m
}

func checkDocs(t *testing.T, name string, v resp.Value) map[string]resp.Value {
	t.Helper()
	d := docsMap(t, v)
	for _, key := range []string{"summary", "since", "group"} {
		if d[key].Type != '$' || len(d[key].Str) == 0 {
			t.Errorf("%s: %s is %q of type %c", name, key, d[key].Str, d[key].Type)
		}
	}
	return d
}
