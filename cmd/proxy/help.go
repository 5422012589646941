package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/configs"
)

const aboutHelp = `Prints the commands, the flags of one command (help journal ls), or a
configuration file: help config is the reference of every key, help config NAME one of the samples,
ready to be written to a file.`

// topicConfig is the topic of help that is no command.
const topicConfig = "config"

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
	f := c.flags("help", aboutHelp, "[COMMAND | config [NAME]]")
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
	}
	return c.printTopic(ctx, topic)
}

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
func sampleNames() (names []string) {
	entries, err := configs.Samples.ReadDir(".")
	if err != nil { // the files are part of the program
		panic(fmt.Sprintf("the samples cannot be listed: %v", err))
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(path.Base(e.Name()), ".yaml"))
	}
	return names
}
