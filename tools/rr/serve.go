package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	applogger "github.com/roadrunner-server/app-logger/v5"
	"github.com/roadrunner-server/boltdb/v5"
	"github.com/roadrunner-server/config/v5"
	"github.com/roadrunner-server/endure/v2"
	"github.com/roadrunner-server/informer/v5"
	"github.com/roadrunner-server/kv/v5"
	"github.com/roadrunner-server/lock/v5"
	"github.com/roadrunner-server/logger/v5"
	"github.com/roadrunner-server/memory/v5"
	"github.com/roadrunner-server/metrics/v5"
	"github.com/roadrunner-server/resetter/v5"
	"github.com/roadrunner-server/rpc/v5"
	"github.com/roadrunner-server/server/v5"
	"github.com/roadrunner-server/service/v5"
	"github.com/roadrunner-server/status/v5"
	"github.com/roadrunner-server/tcp/v5"
	"github.com/spf13/viper"
)

type serveOptions struct {
	configFile string   // absolute path
	overrides  []string // "dot.notation=value", each replaces a configuration value
}

// containerConfig is the `endure` section. As in the official server it is
// read from the file as it stands: without overrides and without ${VAR}.
type containerConfig struct {
	GracePeriod time.Duration `mapstructure:"grace_period"` // all plugins together, default 30 s
	LogLevel    string        `mapstructure:"log_level"`    // of the container alone: debug, info, warn or error
}

var logLevels = map[string]slog.Level{
	"debug":   slog.LevelDebug,
	"info":    slog.LevelInfo,
	"warn":    slog.LevelWarn,
	"warning": slog.LevelWarn,
	"error":   slog.LevelError,
}

func plugins(cfg *config.Plugin) []any {
	return []any{
		cfg,
		&applogger.Plugin{},
		&boltdb.Plugin{},
		&informer.Plugin{},
		&kv.Plugin{},
		&lock.Plugin{},
		&logger.Plugin{},
		&memory.Plugin{},
		&metrics.Plugin{},
		&resetter.Plugin{},
		&rpc.Plugin{},
		&server.Plugin{},
		&service.Plugin{},
		&status.Plugin{},
		&tcp.Plugin{},
	}
}

// serve runs the plugins until the first SIGINT or SIGTERM, then stops them
// within the grace period. The error is nil after such a stop only.
func serve(opts *serveOptions) error {
	containerCfg, err := readContainerConfig(opts.configFile)
	if err != nil {
		return err
	}
	level, known := logLevels[containerCfg.LogLevel]
	if !known {
		fmt.Printf("[WARN] endure.log_level: unknown level %q (allowed: debug, info, warn, error), using error\n", containerCfg.LogLevel)
		level = slog.LevelError
	}

	container := endure.New(level, endure.GracefulShutdownTimeout(containerCfg.GracePeriod))
	cfg := &config.Plugin{
		Path:    opts.configFile,
		Timeout: containerCfg.GracePeriod,
		Flags:   opts.overrides,
		Version: version(),
	}
	if err = container.RegisterAll(plugins(cfg)...); err != nil {
		return err
	}
	if err = container.Init(); err != nil {
		return err
	}
	failures, err := container.Serve()
	if err != nil {
		return err
	}

	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT)
	fmt.Printf("[INFO] RoadRunner server started; version: %s\n", version())

	select {
	case failure := <-failures:
		return fmt.Errorf("error: %w\nplugin: %s", failure.Error, failure.VertexID)
	case <-stop:
		go exitAtOnce(stop)
		fmt.Printf("stop signal received, grace timeout is: %0.f seconds\n", containerCfg.GracePeriod.Seconds())
		return container.Stop()
	}
}

// exitAtOnce ends the process on the next signal: whoever asks twice does not
// want to wait for the grace period.
func exitAtOnce(signals <-chan os.Signal) {
	<-signals
	fmt.Println("exit forced")
	os.Exit(1)
}

func readContainerConfig(file string) (*containerConfig, error) {
	v := viper.New()
	v.SetConfigFile(file)
	if err := v.ReadInConfig(); err != nil {
		return nil, err
	}
	cfg := &containerConfig{GracePeriod: 30 * time.Second, LogLevel: "error"}
	if err := v.UnmarshalKey("endure", cfg); err != nil {
		return nil, fmt.Errorf("endure: %w", err)
	}
	return cfg, nil
}
