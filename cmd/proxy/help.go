package main

import (
	"context"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/configs"
	"holdfast/docs"
)

const aboutHelp = `Prints the commands, the flags of one command (help journal ls), a page of the
documentation (help recovery; help docs lists them, help docs NAME prints one), or a configuration
file: help config is the reference of every key, help config NAME one of the samples, ready to be
written to a file.`

// The topics of help that are no commands. A page of the documentation is one, too, unless a command has its name.
const (
	topicConfig = "config"
	topicDocs   = "docs"
)

// allCommands is every subcommand, with those that are about the others.
func allCommands() []subcommand {
	return append(slices.Clip(subcommands),
		subcommand{name: "help", summary: "explain a command, or print a sample configuration", run: help},
		subcommand{name: "completion", summary: "print the completion of bash, zsh or fish", run: completion},
		subcommand{name: "man", summary: "print a manual page, or write all of them", run: man},
	)
}

// help is the subcommand help.
func help(ctx context.Context, c *command, args []string) error {
	f := c.flags("help", aboutHelp, "[COMMAND | TOPIC | docs [TOPIC] | config [NAME]]")
	if err := c.parseFlags(f, args); err != nil {
		return err
	}
	topic := f.Args()
	switch {
	case len(topic) == 0:
		printHelp(c.stdout)
		return nil
	case topic[0] == topicConfig:
		return c.printSample(topic[1:])
	case topic[0] == topicDocs:
		return c.printDocs(topic[1:])
	case len(topic) == 1 && find(allCommands(), topic[0]) == nil && slices.Contains(docNames(), topic[0]):
		return c.printDocs(topic)
	}
	return c.printTopic(ctx, topic)
}

// printDocs prints the page of the documentation that names holds the name of; none: their list.
func (c *command) printDocs(names []string) error {
	switch len(names) {
	case 0:
		for _, name := range docNames() {
			text, err := docs.Pages.ReadFile(name + ".md")
			if err != nil {
				return err
			}
			title, _, _ := strings.Cut(string(text), "\n")
			fmt.Fprintf(c.stdout, "  %-13s  %s\n", name, strings.TrimPrefix(title, "# "))
		}
		return nil
	case 1:
	default:
		return usagef("unexpected argument %q", names[1])
	}
	text, err := docs.Pages.ReadFile(names[0] + ".md")
	if err != nil {
		return usagef("there is no page %q: %s", names[0], strings.Join(docNames(), ", "))
	}
	_, err = c.stdout.Write(text)
	return err
}

// docNames are the names of the pages.
func docNames() []string { return namesIn(docs.Pages) }

// printTopic prints the help of the command whose name is words.
func (c *command) printTopic(ctx context.Context, words []string) error {
	name := strings.Join(words, " ")
	all := allCommands()
	for i, word := range words {
		s := find(all, word)
		if s == nil {
			return usagef("there is no help about %q: proxy help lists the commands", name)
		}
		if i == len(words)-1 {
			return s.run(ctx, c, []string{"-h"})
		}
		all = s.subs
	}
	return nil
}

// printSample prints the configuration file that names holds the name of; none: the reference.
func (c *command) printSample(names []string) error {
	name := "holdfast"
	switch len(names) {
	case 0:
	case 1:
		name = names[0]
	default:
		return usagef("unexpected argument %q", names[1])
	}
	text, err := configs.Samples.ReadFile(name + ".yaml")
	if err != nil {
		return usagef("there is no sample %q: %s", name, strings.Join(sampleNames(), ", "))
	}
	_, err = c.stdout.Write(text)
	return err
}

// sampleNames are the names of the sample configurations.
func sampleNames() []string { return namesIn(configs.Samples) }

// namesIn lists the files of a folder in the program, without their extensions.
func namesIn(files embed.FS) (names []string) {
	entries, err := files.ReadDir(".")
	if err != nil { // the files are part of the program
		panic(fmt.Sprintf("the files in the program cannot be listed: %v", err))
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}
