package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// A build is what `version --json` prints.
type build struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, with "-dirty" if it was changed
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// thisBuild describes the running program. Without the linker's version it uses the module's, which
// Go knows after `go install` and for a tagged source.
func thisBuild() build {
	b := build{
		Name: "holdfast", Version: version,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if b.Revision != "" {
		b.Revision += dirty
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	return b
}

// String is one line: "holdfast v1.2.3 (go1.26.0 linux/amd64)".
func (b build) String() string {
	return fmt.Sprintf("%s %s (%s %s/%s)", b.Name, b.Version, b.Go, b.OS, b.Arch)
}

func printVersion(_ context.Context, c *command, args []string) error {
	f := c.flags("version", "Prints the version of this program.")
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(c.stdout).Encode(thisBuild())
	}
	_, err := fmt.Fprintln(c.stdout, thisBuild())
	return err
}
