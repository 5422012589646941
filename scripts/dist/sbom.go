package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// A bill is a bill of materials in the format CycloneDX 1.5, as far as a Go program needs it.
type bill struct {
	Format       string         `json:"bomFormat"`
	SpecVersion  string         `json:"specVersion"`
	SerialNumber string         `json:"serialNumber"`
	Version      int            `json:"version"`
	Metadata     billMetadata   `json:"metadata"`
	Components   []component    `json:"components"`
	Dependencies []dependencies `json:"dependencies"`
}

type billMetadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependencies struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// billOfMaterials reads it from the binary itself: the modules that are linked in, with the
// checksums of go.sum, and the toolchain.
func billOfMaterials(path, version string, at time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(newBill(info, sha256.Sum256(data), version, at), "", "  ")
	return append(out, '\n'), err
}

// newBill is the bill of a binary with that checksum.
func newBill(info *debug.BuildInfo, sum [sha256.Size]byte, version string, at time.Time) *bill {
	program := component{
		Type: "application", Name: "holdfast", Version: version, PURL: "pkg:golang/holdfast@" + version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	program.Ref = program.PURL
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "-trimpath", "vcs.revision", "vcs.modified":
			program.Properties = append(program.Properties, property{"go:build:" + s.Key, s.Value})
		}
	}
	b := &bill{
		Format: "CycloneDX", SpecVersion: "1.5", SerialNumber: "urn:uuid:" + uuidOf(sum), Version: 1,
		Metadata:   billMetadata{at.Format(time.RFC3339), program},
		Components: []component{goComponent("std", strings.TrimPrefix(info.GoVersion, "go"), "")},
	}
	all := dependencies{Ref: program.Ref}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, goComponent(m.Path, m.Version, m.Sum))
	}
	for _, c := range b.Components {
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	b.Dependencies = []dependencies{all}
	return b
}

func goComponent(path, version, sum string) component {
	c := component{Type: "library", Name: path, Version: version, PURL: "pkg:golang/" + path + "@" + version}
	c.Ref = c.PURL
	if sum != "" {
		c.Properties = []property{{"go:sum", sum}}
	}
	return c
}

// uuidOf is a UUID of version 8 made of a checksum, so that the same binary has the same serial number.
func uuidOf(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
