package policy

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the folder must be quiet before it is looked at: files are written in parts.
	settle = 100 * time.Millisecond
	// rescan is how often it is looked at all the same: some file systems tell of nothing.
	rescan = 10 * time.Second
	// letGo is how often instances are let go that nobody has used since the last time.
	letGo = time.Minute
)

// Run follows the folder until ctx ends, and returns nil then. Open comes first.
func (s *Set) Run(ctx context.Context) error {
	if s.options.Folder == "" {
		<-ctx.Done()
		return nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the policies folder: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(s.options.Folder); err != nil {
		return fmt.Errorf("watch the policies folder: %w", err)
	}
	again := time.NewTicker(rescan)
	defer again.Stop()
	unused := time.NewTicker(letGo)
	defer unused.Stop()
	quiet := time.NewTimer(0) // what has changed since Open
	defer quiet.Stop()
	for {
		all := true
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			quiet.Reset(settle)
			continue
		case err := <-watcher.Errors:
			s.logger.Warn("policies folder is not watched well; it is looked at every few seconds", "error", err.Error())
			continue
		case <-unused.C:
			for _, p := range s.current.Load().policies {
				p.module.LetGo(ctx)
			}
			continue
		case <-quiet.C:
		case <-again.C:
			all = false
		}
		err := s.scan(ctx, all)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("policies folder cannot be read; what is in charge stays", "error", err.Error())
		}
	}
}
