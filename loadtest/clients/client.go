package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// client is a client library, or a command-line client, and how its checks are started.
type client struct {
	name    string
	version []string // prints it
	argv    []string
	env     []string
	// without is why it cannot show a certificate.
	without string
}

// patience bounds one run of all checks.
const patience = 2 * time.Minute

func clients(root string) []client {
	tools, here := filepath.Join(root, ".tools"), filepath.Join(root, "loadtest", "clients")
	kept := filepath.Join(tools, "clients")
	cli := func(name, kind string) client {
		program := filepath.Join(tools, "servers", kind, "bin", name)
		return client{name: name, version: []string{program, "--version"},
			argv: []string{"bash", filepath.Join(here, "cli.sh"), program}}
	}
	node := func(name, module string) client {
		return client{name: name, version: []string{"node", "-p",
			fmt.Sprintf("JSON.parse(require('fs').readFileSync('%s/node/node_modules/%s/package.json')).version", kept, module)},
			argv: []string{"node", filepath.Join(kept, "node", "check.mjs"), name}}
	}
	gone := func(name, module string) client {
		return client{name: name, version: []string{"go", "list", "-C", filepath.Join(here, "gomod"), "-m", "-f",
			"{{.Version}}", module}, argv: []string{filepath.Join(kept, "gomod"), strings.ReplaceAll(name, "-", "")}}
	}
	glide := node("glide", "@valkey/valkey-glide")
	glide.name, glide.without = "glide (Node)", "it has no option for one"
	redis := node("redis", "redis")
	redis.name = "node-redis"
	python := []string{"PYTHONPATH=" + filepath.Join(tools, "servers", "pyredis", "root", "usr", "lib", "python3", "dist-packages")}
	return []client{
		cli("valkey-cli", "valkey"), cli("redis-cli", "redis"),
		node("ioredis", "ioredis"), redis, glide,
		gone("go-redis", "github.com/redis/go-redis/v9"), gone("rueidis", "github.com/redis/rueidis"),
		{name: "hiredis", version: []string{"cat", filepath.Join(kept, "hiredis.version")},
			argv: []string{filepath.Join(kept, "hiredis")}},
		{name: "redis-py", version: []string{"python3", "-c", "import redis; print(redis.__version__)"}, env: python,
			argv: []string{"python3", filepath.Join(here, "check.py")}},
	}
}

// play runs the checks in all four ways and returns the row of the table.
func (c client) play(ctx context.Context, s *stack, out io.Writer) (row string, ok bool) {
	version, err := c.command(ctx, c.version, nil)
	if err != nil {
		version = "?"
	}
	fields := strings.Fields(version)
	row = fmt.Sprintf("| %s | %s |", c.name, strings.TrimPrefix(fields[len(fields)-1], "v"))
	ok = true
	for _, withCertificate := range []bool{false, true} {
		for _, proto := range []string{"2", "3"} {
			if withCertificate && c.without != "" {
				row += " " + c.without + " |"
				continue
			}
			text, err := c.command(ctx, c.argv, s.environment(withCertificate, proto))
			passed, failed := strings.Count("\n"+text, "\nok "), strings.Count("\n"+text, "\nFAIL ")
			if failed > 0 || passed == 0 || err != nil {
				fmt.Fprintf(out, "%s, certificate %v, RESP%s: %v\n%s\n", c.name, withCertificate, proto, err, text)
				ok = false
			}
			row += fmt.Sprintf(" %d of %d |", passed, passed+failed)
		}
	}
	return row + "\n", ok
}

func (c client) command(ctx context.Context, argv, env []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if env == nil {
		env = cmd.Environ()
	}
	cmd.Env = append(env, c.env...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}
