package main

import (
	"flag"

	"holdfast/journal/scratch"
)

// A scratchFlag selects the server that holds a past moment while its keys are read.
type scratchFlag struct{ url, program *string }

func addScratch(f *flag.FlagSet) scratchFlag {
	return scratchFlag{
		f.String("scratch", "", "an empty server to rebuild the point on, instead of a private one:\n"+
			"`redis://[user:password@]host:port`; it keeps the data"),
		f.String("server-bin", "", "the server `PROGRAM` that is started in private for that; by default "+
			"valkey-server or\nredis-server of PATH"),
	}
}

// options reads the flags. The error is one of usage.
func (s scratchFlag) options() (scratch.Options, error) {
	o := scratch.Options{Program: *s.program}
	switch {
	case *s.url == "":
		return o, nil
	case *s.program != "":
		return o, usagef("give either --scratch or --server-bin")
	}
	t, err := parseServer("scratch", *s.url, "")
	e := t.endpoint()
	o.Server = &e
	return o, err
}
