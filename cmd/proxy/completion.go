package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

const aboutCompletion = `Prints a completion script, made of the flag tables of this program. Load it
in the running shell, or put it where the shell looks for it:

  bash   source <(proxy completion bash)
         proxy completion bash > /etc/bash_completion.d/proxy
  zsh    proxy completion zsh > "${fpath[1]}/_proxy"
  fish   proxy completion fish > ~/.config/fish/completions/proxy.fish

The script completes the name that this program was started by, or --name.`

// A shell is one of those that completion knows.
type shell struct {
	name   string
	script *template.Template
}

// shells in the order of the help.
var shells = []shell{
	{"bash", bashScript},
	{"zsh", zshScript},
	{"fish", fishScript},
}

// completion is the subcommand completion.
func completion(ctx context.Context, c *command, args []string) error {
	f := c.flags("completion", aboutCompletion, "bash|zsh|fish")
	name := f.String("name", "", "the `NAME` of the program in the script")
	if err := c.parseFlags(f, args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return usagef("which shell? bash, zsh or fish")
	}
	for _, s := range shells {
		if s.name == f.Arg(0) {
			return writeCompletion(ctx, c.stdout, s, programName(*name))
		}
	}
	return usagef("%q is not a shell that is known here: bash, zsh or fish", f.Arg(0))
}

// programName is given, or the name by which this program was started.
func programName(given string) string {
	if given != "" {
		return given
	}
	return filepath.Base(os.Args[0])
}

func writeCompletion(ctx context.Context, w io.Writer, s shell, name string) error {
	all, err := pages(ctx)
	if err != nil {
		return err
	}
	t := completionTable{Name: name, Func: identifier(name)}
	for _, s := range allCommands() {
		t.Top = append(t.Top, completionWord{Word: s.name, About: s.summary})
	}
	for _, p := range all {
		t.add(p)
	}
	return s.script.Execute(w, &t)
}

// identifier is name as a part of a shell function's name.
func identifier(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

// A completionTable is the data of the templates. A place is the words of a command so far,
// "journal ls".
type completionTable struct {
	Name, Func string
	Top        []completionWord
	Places     []completionPlace
	Paths      []string // of each place: its parent, a space, its last word
	Files      []string // "PLACE --FLAG" with a file as the value
	Dirs       []string // with a folder
	Free       []string // with a value that cannot be guessed
	Choices    []completionChoice
}

// A completionPlace is a command with what may follow it.
type completionPlace struct {
	Place string
	Flags []completionFlag
	Words []completionWord // the arguments or subcommands that it takes
	Files bool             // its arguments are files
}

type completionFlag struct {
	Name  string // without dashes
	About string // one line
	Kind  valueKind
	Words []string
}

type completionWord struct{ Word, About string }

type completionChoice struct {
	At    string // "PLACE --FLAG"
	Words []string
}

// add adds the command of a page.
func (t *completionTable) add(p *page) {
	words := strings.Fields(p.name)
	last := len(words) - 1
	t.Paths = append(t.Paths, strings.Join(words[:last], " ")+" "+words[last])
	place := completionPlace{Place: p.name, Files: p.takesFiles(), Words: t.arguments(p)}
	for _, e := range p.entries() {
		kind, choices := e.kind()
		at := p.name + " --" + e.name
		switch kind {
		case valueFile:
			t.Files = append(t.Files, at)
		case valueDir:
			t.Dirs = append(t.Dirs, at)
		case valueAny:
			t.Free = append(t.Free, at)
		case valueWords:
			t.Choices = append(t.Choices, completionChoice{at, choices})
		}
		place.Flags = append(place.Flags, completionFlag{e.name, firstLine(e.about), kind, choices})
	}
	t.Places = append(t.Places, place)
}

// arguments are the words that a command takes without a dash.
func (t *completionTable) arguments(p *page) (words []completionWord) {
	switch {
	case p.name == "help":
		words = append(words, t.Top...)
		words = append(words, completionWord{topicConfig, "the reference of the configuration file"},
			completionWord{topicDocs, "the list of the pages of the documentation"})
		for _, name := range docNames() {
			if find(allCommands(), name) == nil {
				words = append(words, completionWord{name, "a page of the documentation"})
			}
		}
		return words
	case p.name == "man":
		return t.Top
	case len(p.subs) > 0:
		for _, s := range find(subcommands, p.name).subs {
			words = append(words, completionWord{s.name, s.summary})
		}
	case strings.Contains(p.arguments, "|"):
		for _, word := range strings.Split(p.arguments, "|") {
			words = append(words, completionWord{word, ""})
		}
	}
	return words
}

// firstLine is the first line of a flag's help, for shells that show it beside the flag.
func firstLine(about string) string {
	line, _, more := strings.Cut(about, "\n")
	line = strings.TrimRight(line, " ,;:.")
	if more {
		line += " …"
	}
	return line
}
