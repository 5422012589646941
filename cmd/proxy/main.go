// Command proxy is Holdfast: an inline proxy in the Redis protocol that keeps destructive commands
// from one Redis or Valkey server, keeps a journal from which any moment of it can be rebuilt, and
// on the routes that ask for it answers OK only when a write is durable.
//
// It holds no logic of its own. Each subcommand turns the configuration file and its flags into the
// options of the packages that do the work, and their errors into exit codes: 0 done, 1 failed, 2
// wrong usage. Results go to standard output, everything else to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"holdfast/journal/scratch"
)

// A subcommand is one function of the program.
type subcommand struct {
	name    string
	summary string // one line of the help
	run     func(ctx context.Context, c *command, args []string) error
	subs    []subcommand // those of a group
}

// A command is a subcommand's environment.
type command struct {
	stdout, stderr io.Writer
	page           *page // its help, once flags was called
}

// subcommands in the order of the help.
var subcommands = []subcommand{
	{name: "serve", summary: "serve clients until interrupted", run: serve},
	{name: "check", summary: "check a configuration file and the server behind it", run: check},
	{name: "journal", summary: "look into a journal: ls, show, events, verify, export, which", run: journalCommand,
		subs: journalCommands},
	{name: "repair", summary: "put back what the server lost, and nothing else", run: repairCommand},
	{name: "restore", summary: "rebuild a server at any point of a journal", run: restore},
	{name: "diff", summary: "compare the server, or a backup, with the journal, key by key", run: diffCommand},
	{name: "recover", summary: "put the journal's end into another server, and the proxy in front of it",
		run: recoverCommand},
	{name: "version", summary: "print the version", run: printVersion},
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errReported is a failure that the output already shows.
var errReported = errors.New("failed")

// A usageError is an error in the command line; the help shows the correct form.
type usageError struct {
	err error
	see string // the command line that shows the help
}

func (e *usageError) Error() string { return fmt.Sprintf("%v (see: proxy %s)", e.err, e.see) }

func (e *usageError) Unwrap() error { return e.err }

// usagef makes a usageError; the dispatcher adds the command line of its help.
func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), see: "help"}
}

func main() {
	// A second signal ends the process at once: its sender does not want to wait for the drain that
	// the first one began.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	giveWay = scratch.GiveWay
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "proxy: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// giveWay lowers the priority of the process before long work that can wait for clients. main sets it:
// a test has other work to do.
var giveWay = func() {}

// run executes one command line. It ends early, and in good order, when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		printHelp(stderr)
		return usagef("no command given")
	}
	switch args[0] {
	case "-h", "-help", "--help":
		args[0] = "help"
	case "-version", "--version":
		args[0] = "version"
	}
	s := find(allCommands(), args[0])
	if s == nil {
		return usagef("unknown command %q", args[0])
	}
	err := s.do(ctx, &command{stdout: stdout, stderr: stderr}, args[1:], "")
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

// find returns the subcommand of that name; nil if there is none.
func find(all []subcommand, name string) *subcommand {
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

// do runs s, whose name on the command line follows of. An error of usage leads to its help.
func (s *subcommand) do(ctx context.Context, c *command, args []string, of string) error {
	err := s.run(ctx, c, args)
	var usage *usageError
	if errors.As(err, &usage) && usage.see == "help" {
		usage.see = of + s.name + " -h"
	}
	return err
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "Holdfast is a proxy for Redis and Valkey. It keeps destructive commands from the "+
		"server,\nkeeps a journal from which any moment can be rebuilt, and answers OK, where that is "+
		"asked\nfor, only when a write is durable.\n\nUsage:\n")
	for _, s := range allCommands() {
		fmt.Fprintf(w, "  proxy %-10s  %s\n", s.name, s.summary)
	}
	fmt.Fprint(w, "\nproxy help COMMAND lists the flags of a command, proxy help config prints the reference "+
		"of\nthe configuration file, proxy help docs lists the pages of the documentation.\nExit codes: 0 done, 1 failed, 2 wrong usage.\n")
}

// flags makes the flag set of a subcommand. Its help describes the subcommand; behind the flags come
// arguments, if the subcommand takes any.
func (c *command) flags(name, about string, arguments ...string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // until help is asked for; main prints errors
	c.page = &page{name: name, about: about, flags: f, arguments: strings.Join(arguments, " ")}
	f.Usage = c.page.print
	return f
}

// printFlags prints the flags of f for its help, spelled as the documentation spells them.
func printFlags(f *flag.FlagSet) {
	f.VisitAll(func(one *flag.Flag) { printFlag(f.Output(), one) })
}

func printFlag(w io.Writer, f *flag.Flag) {
	value, about := flag.UnquoteUsage(f)
	fmt.Fprintf(w, "  --%s\n", strings.TrimSpace(f.Name+" "+value))
	fmt.Fprintf(w, "        %s\n", strings.ReplaceAll(about+defaultOf(f), "\n", "\n        "))
}

// defaultOf is the end of a flag's help: its default, if that says anything.
func defaultOf(f *flag.Flag) string {
	switch f.DefValue {
	case "", "0", "false":
		return ""
	}
	return fmt.Sprintf(" (default %s)", f.DefValue)
}

// parse reads args into f; most subcommands take no arguments but flags.
func (c *command) parse(f *flag.FlagSet, args []string) error {
	if err := c.parseFlags(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usagef("unexpected argument %q", f.Arg(0))
	}
	return nil
}

// parseFiles is parse for a subcommand that takes files, at least one.
func (c *command) parseFiles(f *flag.FlagSet, args []string) ([]string, error) {
	if err := c.parseFlags(f, args); err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, usagef("no file given")
	}
	return f.Args(), nil
}

func (c *command) parseFlags(f *flag.FlagSet, args []string) error {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(c.stdout)
		f.Usage()
		return err
	case err != nil:
		return usagef("%w", err)
	}
	return nil
}
