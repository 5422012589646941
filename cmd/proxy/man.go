package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"holdfast/configs"
)

const aboutMan = `Prints the manual page of the program or of a command (man journal ls), in the
format of man(7), or writes all of them into a folder, with holdfast.yaml(5), the reference of the
configuration file.

  proxy man restore | man -l -`

// man is the subcommand man.
func man(ctx context.Context, c *command, args []string) error {
	f := c.flags("man", aboutMan, "[COMMAND]")
	dir := f.String("dir", "", "write all pages into a `folder`")
	name := f.String("name", "", "the `NAME` of the program in the pages")
	if err := c.parseFlags(f, args); err != nil {
		return err
	}
	m, err := newManual(ctx, programName(*name))
	if err != nil {
		return err
	}
	if *dir != "" {
		if f.NArg() > 0 {
			return usagef("with --dir all pages are written: unexpected argument %q", f.Arg(0))
		}
		return m.write(*dir)
	}
	text, ok := m.files[m.file(strings.Join(f.Args(), " "))]
	if !ok {
		return usagef("there is no page about %q: proxy help lists the commands", strings.Join(f.Args(), " "))
	}
	_, err = c.stdout.Write(text)
	return err
}

// A manual is the pages of all commands.
type manual struct {
	name    string // of the program
	version string
	pages   []*page
	files   map[string][]byte // "holdfast-restore.1"
	mention *regexp.Regexp    // of a command of this program in a text
}

func newManual(ctx context.Context, name string) (*manual, error) {
	all, err := pages(ctx)
	if err != nil {
		return nil, err
	}
	m := &manual{name: name, version: thisBuild().Version, pages: all, files: map[string][]byte{},
		mention: mentionOf(all)}
	m.files[m.file("")] = m.overview()
	for _, p := range all {
		m.files[m.file(p.name)] = m.page(p)
	}
	reference, err := configs.Samples.ReadFile("holdfast.yaml")
	if err != nil {
		return nil, err
	}
	m.files["holdfast.yaml.5"] = m.reference(reference)
	return m, nil
}

// file is the name of a command's page; "" is the program's.
func (m *manual) file(command string) string { return m.title(command) + ".1" }

// title is the name of a page: "holdfast-journal-ls".
func (m *manual) title(command string) string {
	return strings.Join(append([]string{m.name}, strings.Fields(command)...), "-")
}

func (m *manual) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range m.files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// overview is the page of the program.
func (m *manual) overview() []byte {
	var b bytes.Buffer
	m.head(&b, m.title(""), "1", "a proxy that keeps data in Redis and Valkey safe")
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[flags]\n", roff(m.name))
	b.WriteString(".SH DESCRIPTION\nHoldfast is a proxy for Redis and Valkey. It keeps destructive commands " +
		"from the server, keeps a journal from which any moment can be rebuilt, and answers OK, where that is " +
		"asked for, only when a write is durable.\n.SH COMMANDS\n")
	for _, p := range m.pages {
		if !strings.Contains(p.name, " ") {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(m.title(p.name)), roff(p.summary))
		}
	}
	b.WriteString(exitStatus + ".SH FILES\n.TP\n.I /etc/holdfast/holdfast.yaml\nthe configuration file of the " +
		"service; see\n.BR holdfast.yaml (5)\n.SH SEE ALSO\n.BR holdfast.yaml (5)\n")
	return b.Bytes()
}

const exitStatus = ".SH EXIT STATUS\n0 done, 1 failed or found something wrong, 2 wrong usage.\n"

// page is the page of a command.
func (m *manual) page(p *page) []byte {
	var b bytes.Buffer
	m.head(&b, m.title(p.name), "1", p.summary)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n", roff(m.name+" "+p.usage()))
	b.WriteString(paragraphs(m.renamed(p.about)))
	if p.hasFlags() {
		b.WriteString(".SH OPTIONS\n")
		for _, e := range p.entries() {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace("--"+e.name+" "+e.value)),
				roff(m.renamed(strings.ReplaceAll(e.about, "\n", " "))))
		}
	}
	b.WriteString(exitStatus + ".SH SEE ALSO\n")
	for i, also := range m.related(p) {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, ".BR %s (1)", roff(also))
	}
	b.WriteString("\n")
	return b.Bytes()
}

// related are the titles of the pages next to p.
func (m *manual) related(p *page) []string {
	words := strings.Fields(p.name)
	out := []string{m.title(strings.Join(words[:len(words)-1], " "))}
	for _, sub := range p.subs {
		out = append(out, m.title(p.name+" "+sub))
	}
	return out
}

// reference is the page of the configuration file.
func (m *manual) reference(file []byte) []byte {
	var b bytes.Buffer
	m.head(&b, "holdfast.yaml", "5", "the configuration of Holdfast")
	b.WriteString(".SH DESCRIPTION\n.nf\n")
	for line := range strings.Lines(string(file)) {
		b.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
	}
	fmt.Fprintf(&b, ".fi\n.SH SEE ALSO\n.BR %s (1)\n", roff(m.title("serve")))
	return b.Bytes()
}

// head begins a page. It has no date, so that the same source always makes the same page.
func (m *manual) head(b *bytes.Buffer, title, section, summary string) {
	fmt.Fprintf(b, ".TH \"%s\" %s \"\" \"Holdfast %s\" Holdfast\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(roff(title)), section, roff(m.version), roff(title), roff(summary))
}

// mentionOf matches a mention of a command: "proxy restore".
func mentionOf(all []*page) *regexp.Regexp {
	var names []string
	for _, p := range all {
		names = append(names, regexp.QuoteMeta(p.name))
	}
	return regexp.MustCompile(`\bproxy (?:` + strings.Join(names, "|") + `|COMMAND)\b`)
}

// renamed is text with the program's name in its command lines.
func (m *manual) renamed(text string) string {
	return m.mention.ReplaceAllStringFunc(text, func(found string) string {
		return m.name + strings.TrimPrefix(found, "proxy")
	})
}

// paragraphs is a text of the help: lines that begin with spaces stay as they are, the others are
// filled.
func paragraphs(text string) string {
	var b strings.Builder
	verbatim := false
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimRight(line, "\n")
		switch indented := strings.HasPrefix(line, "  "); {
		case line == "" && !verbatim:
			b.WriteString(".PP\n")
			continue
		case indented && !verbatim:
			b.WriteString(".nf\n")
			verbatim = true
		case !indented && line != "" && verbatim:
			b.WriteString(".fi\n.PP\n")
			verbatim = false
		}
		b.WriteString(roff(line) + "\n")
	}
	if verbatim {
		b.WriteString(".fi\n")
	}
	return b.String()
}

// roff is text that groff prints as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`,
		`"`, `\(dq`, "…", "...").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
