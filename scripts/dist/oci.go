package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// imageUser is the user and group of the process in the image.
const imageUser = 65532

// The media types of the OCI image specification.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// A descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type imageIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type imageManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type imageConfig struct {
	Created      time.Time      `json:"created"`
	Architecture string         `json:"architecture"`
	OS           string         `json:"os"`
	Config       imageExecution `json:"config"`
	RootFS       imageRoot      `json:"rootfs"`
	History      []imageHistory `json:"history"`
}

type imageExecution struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	Entrypoint   []string            `json:"Entrypoint"`
	Cmd          []string            `json:"Cmd"`
	WorkingDir   string              `json:"WorkingDir"`
	Labels       map[string]string   `json:"Labels"`
	StopSignal   string              `json:"StopSignal"`
	Healthcheck  imageHealth         `json:"Healthcheck"`
}

// imageHealth is Docker's addition to the configuration; other engines ignore it.
type imageHealth struct {
	Test        []string
	Interval    time.Duration
	Timeout     time.Duration
	StartPeriod time.Duration
}

// configInImage is the configuration file's place.
const configInImage = "/etc/holdfast/holdfast.yaml"

type imageRoot struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type imageHistory struct {
	Created time.Time `json:"created"`
	By      string    `json:"created_by"`
}

// A savedImage is an entry of manifest.json, by which older engines load an archive.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// imageFiles is the content of the image: the program, the user, and folders that the user may write.
func imageFiles(binary []byte) []entry {
	user := fmt.Sprintf("holdfast:x:%d:%d::/var/lib/holdfast:/sbin/nologin\n", imageUser, imageUser)
	return []entry{
		{name: "usr/bin/holdfast", mode: 0o755, data: binary},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0::/:/sbin/nologin\n" + user)},
		{name: "etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nholdfast:x:%d:\n", imageUser)},
		{name: "etc/holdfast/", mode: 0o755},
		{name: "tmp/", mode: 0o1777},
		{name: "var/lib/holdfast/", mode: 0o700, owner: imageUser},
		{name: "var/log/holdfast/", mode: 0o700, owner: imageUser},
	}
}

// An imageLayout gathers the blobs of an image.
type imageLayout struct{ files []entry }

func (l *imageLayout) add(name string, data []byte) {
	l.files = append(l.files, entry{name: name, mode: 0o644, data: data})
}

// blob adds data under its digest.
func (l *imageLayout) blob(mediaType string, data []byte) descriptor {
	sum := digest(data)
	l.add(blobPath(sum), data)
	return descriptor{MediaType: mediaType, Digest: sum, Size: len(data)}
}

// json is blob for a document.
func (l *imageLayout) json(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	return l.blob(mediaType, data), err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func blobPath(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

// ociImage is an image as an archive of the OCI image layout, which engines load
// (podman load, docker load, skopeo copy oci-archive:…).
func ociImage(binary []byte, arch, version string, at time.Time) ([]byte, error) {
	layer, err := tarball(imageFiles(binary), at)
	if err != nil {
		return nil, err
	}
	packed, err := gzipped(layer, nil)
	if err != nil {
		return nil, err
	}
	l := &imageLayout{}
	layerAt := l.blob(typeLayer, packed)
	labels := map[string]string{
		"org.opencontainers.image.title":    "holdfast",
		"org.opencontainers.image.version":  version,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	config, err := l.json(typeConfig, imageConfig{
		Created: at, Architecture: arch, OS: "linux",
		Config: imageExecution{
			User:         fmt.Sprintf("%d:%d", imageUser, imageUser),
			ExposedPorts: map[string]struct{}{"6380/tcp": {}, "9390/tcp": {}},
			Entrypoint:   []string{"/usr/bin/holdfast"},
			Cmd:          []string{"serve", "--config", configInImage},
			WorkingDir:   "/var/lib/holdfast", Labels: labels, StopSignal: "SIGTERM",
			Healthcheck: imageHealth{Test: []string{"CMD", "/usr/bin/holdfast", "check", "--ready", "--config", configInImage},
				Interval: 10 * time.Second, Timeout: 5 * time.Second, StartPeriod: time.Minute},
		},
		RootFS:  imageRoot{Type: "layers", DiffIDs: []string{digest(layer)}},
		History: []imageHistory{{Created: at, By: "make dist"}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := l.json(typeManifest, imageManifest{SchemaVersion: 2, MediaType: typeManifest, Config: config,
		Layers: []descriptor{layerAt}, Annotations: labels})
	if err != nil {
		return nil, err
	}
	tag := imageTag(version)
	manifest.Platform = &platform{Architecture: arch, OS: "linux"}
	manifest.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": "docker.io/library/holdfast:" + tag,
	}
	index, err := json.Marshal(imageIndex{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{manifest}})
	if err != nil {
		return nil, err
	}
	saved, err := json.Marshal([]savedImage{{Config: blobPath(config.Digest), RepoTags: []string{"holdfast:" + tag},
		Layers: []string{blobPath(layerAt.Digest)}}})
	if err != nil {
		return nil, err
	}
	l.add("index.json", index)
	l.add("manifest.json", saved)
	l.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return tarball(l.files, at)
}

// imageTag is a version as a tag, which has fewer signs.
func imageTag(version string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, version)
}
