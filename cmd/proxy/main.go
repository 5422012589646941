// Command proxy is Holdfast: an inline proxy in the Redis protocol that keeps destructive commands
// from one Redis or Valkey server, and a journal from which any moment of it can be rebuilt.
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
	"syscall"
)

// A subcommand is one thing that the program does.
type subcommand struct {
	name    string
	summary string // one line of the help
	run     func(ctx context.Context, c *command, args []string) error
}

// A command is what a subcommand needs of its surroundings.
type command struct {
	stdout, stderr io.Writer
}

// subcommands in the order of the help.
var subcommands = []subcommand{
	{"serve", "serve clients until interrupted", serve},
	{"check", "check a configuration file and the server behind it", check},
	{"journal", "look into a journal: ls, verify, show, export, which", journalCommand},
	{"restore", "rebuild a server at any point of a journal", restore},
	{"version", "print the version", printVersion},
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

var (
	// errUsage is wrapped by errors that a look at the help would have prevented.
	errUsage = errors.New("see: proxy help")

	// errReported means failure that the output already tells.
	errReported = errors.New("failed")
)

func main() {
	// A second signal ends the process at once: whoever sends it does not want to wait for the
	// drain that the first one began.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "proxy: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// run executes one command line. It ends early, and in good order, when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		printHelp(stderr)
		return fmt.Errorf("no command given (%w)", errUsage)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		printHelp(stdout)
		return nil
	case "-version", "--version":
		args[0] = "version"
	}
	for _, s := range subcommands {
		if s.name == args[0] {
			err := s.run(ctx, &command{stdout, stderr}, args[1:])
			if errors.Is(err, flag.ErrHelp) {
				return nil
			}
			return err
		}
	}
	return fmt.Errorf("unknown command %q (%w)", args[0], errUsage)
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		return exitUsage
	}
	return exitFailed
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "Holdfast keeps destructive commands from a Redis or Valkey server, and a "+
		"journal from\nwhich any moment can be rebuilt.\n\nUsage:\n")
	for _, s := range subcommands {
		fmt.Fprintf(w, "  proxy %-8s  %s\n", s.name, s.summary)
	}
	fmt.Fprint(w, "\nproxy COMMAND -h lists the flags of a command.\n"+
		"Exit codes: 0 done, 1 failed, 2 wrong usage.\n")
}

// flags makes the flag set of a subcommand. Its help says what the subcommand does.
func (c *command) flags(name, about string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // until help is asked for; errors are for main to print
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "Usage: proxy %s [flags]\n\n%s\n\nFlags:\n", name, about)
		f.PrintDefaults()
	}
	return f
}

// parse reads args into f; most subcommands take no arguments besides flags.
func (c *command) parse(f *flag.FlagSet, args []string) error {
	if err := c.parseFlags(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q (%w)", f.Name(), f.Arg(0), errUsage)
	}
	return nil
}

// parseFiles is parse for a subcommand that takes files, at least one.
func (c *command) parseFiles(f *flag.FlagSet, args []string) ([]string, error) {
	if err := c.parseFlags(f, args); err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, fmt.Errorf("%s: no file given (%w)", f.Name(), errUsage)
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
		return fmt.Errorf("%s: %w (%w)", f.Name(), err, errUsage)
	}
	return nil
}
