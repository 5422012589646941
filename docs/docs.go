// Package docs holds the pages for users, for programs that are installed without this folder.
package docs

import "embed"

// Pages are the pages by their file names.
//
//go:embed *.md
var Pages embed.FS
