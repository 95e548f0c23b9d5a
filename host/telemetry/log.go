package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// Format is how records are written.
type Format string

// The formats.
const (
	// FormatAuto is FormatText on a terminal and FormatJSON otherwise.
	FormatAuto Format = "auto"
	// FormatText is for people: key=value pairs on a line.
	FormatText Format = "text"
	// FormatJSON is for machines: an object on a line.
	FormatJSON Format = "json"
)

// NewLogger returns a logger that writes records of at least the level to w. The level may be changed while the
// logger is in use, where it is a [slog.LevelVar]. An unknown format is an error.
func NewLogger(w io.Writer, format Format, level slog.Leveler) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	if format == FormatAuto {
		format = FormatJSON
		if isTerminal(w) {
			format = FormatText
		}
	}
	switch format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("make logger: %q is not a format", format)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
