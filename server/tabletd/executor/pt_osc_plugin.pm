# The plugin that pt-online-schema-change loads in each run; a copy lies in the run's private
# directory. Core modules only.
#
# It writes `report.<event>` files first, then tries the daemon's callback once for at most 2 s, and
# never ends the migration because of a report. It does end it, before the tables are swapped, when
# the copy has met a MySQL error that the tool itself only warns of: rows would have lost values.
#
# While the file `hold` is in the directory, it waits before the swap, and keeps the tool's
# connections alive meanwhile.
package pt_online_schema_change_plugin;

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Spec;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use constant CALLBACK_SECONDS_MAX   => 2;
use constant HOLD_LOOK_SECONDS      => 0.1;
use constant KEEP_ALIVE_SECONDS_MAX => 30;
use constant TOO_MUCH_LAG           => 2147483647;

sub new {
   my ($class, %args) = @_;
   my $directory = dirname(File::Spec->rel2abs(__FILE__));
   my $self = bless {
      directory => $directory,
      callback  => _read_values("$directory/callback"),
      dry_run   => $args{dry_run} ? 'true' : 'false',
      cxn       => $args{cxn},
      cxns      => [ grep { $_ } $args{cxn}, $args{aux_cxn} ],
      copied    => 0,
      throttled => '',
      losses    => '',
   }, $class;
   my $warn_before = $SIG{__WARN__};
   $SIG{__WARN__} = sub {
      my ($text) = @_;
      if ( $text =~ m/Copying rows caused a MySQL error ([^\n]+)/ ) {
         $self->{losses} ||= $1;
      }
      ref $warn_before eq 'CODE' ? $warn_before->($text) : print STDERR $text;
   };
   return $self;
}

sub init {
   my ($self, %args) = @_;
   $self->{original} = $args{orig_tbl};
   push @{$self->{cxns}}, @{ $args{slave_lag_cxns} || [] };
   return;
}

sub before_create_new_table {
   my ($self) = @_;
   $self->_report('before_create_new_table', 'running');
   return;
}

sub before_copy_rows {
   my ($self) = @_;
   $self->_report('before_copy_rows', 'running');
   return;
}

sub before_swap_tables {
   my ($self) = @_;
   if ( $self->{losses} ) {
      die "tabletd: the tables are not swapped, because copying rows caused a MySQL error "
        . "$self->{losses}\n";
   }
   $self->_count_rows();
   if ( $self->{dry_run} eq 'false' ) {
      $self->_wait_while_held();
      $self->_limit_lock_wait();
   }
   $self->_report('before_swap_tables', 'running');
   return;
}

# Whatever becomes of the server meanwhile: the swap itself will find out. Nobody lets a tool go
# that does not say that it waits, so it says so until that is written, on a full disk too.
sub _wait_while_held {
   my ($self) = @_;
   my $hold = "$self->{directory}/hold";
   my $next = 0;
   my $is_told = 0;
   while ( -e $hold ) {
      if ( !$self->{is_holding} ) {
         $self->{is_holding} = 1;
         $is_told = $self->_report('holding', 'running');
      }
      $is_told ||= $self->_write('holding', 'running');
      if ( time >= $next ) {
         $next = time + $self->_keep_alive();
      }
      sleep HOLD_LOOK_SECONDS;
   }
   $self->_keep_alive() if $self->{is_holding};
   return;
}

# Uses each connection once, makes those anew that are lost; returns the seconds until the next time.
sub _keep_alive {
   my ($self) = @_;
   my $pause = KEEP_ALIVE_SECONDS_MAX;
   foreach my $cxn ( @{$self->{cxns}} ) {
      my $timeout = eval {
         my $dbh = $cxn->dbh();
         $dbh = $cxn->connect() if !$dbh || !$dbh->ping();
         $dbh->selectrow_array('SELECT /* tabletd: keepalive */ @@session.wait_timeout');
      };
      my $wanted = $timeout ? $timeout / 3 : 1;
      $pause = $wanted if $wanted < $pause;
   }
   return $pause;
}

sub _limit_lock_wait {
   my ($self) = @_;
   my $seconds = _read_values("$self->{directory}/swap")->{lock_wait_seconds} || 0;
   if ( $seconds =~ m/^[1-9]\d*$/ ) {
      eval { $self->{cxn}->dbh()->do("SET SESSION lock_wait_timeout = $seconds") };
   }
   return;
}

sub after_swap_tables {
   my ($self, %args) = @_;
   if ( $self->{dry_run} eq 'false' && $args{old_tbl} ) {
      $self->{old_table} = $args{old_tbl}->{tbl};
   }
   $self->_report('after_swap_tables', 'running');
   return;
}

sub before_exit {
   my ($self, %args) = @_;
   $self->_report('before_exit', $args{exit_status} ? 'failed' : 'complete');
   return;
}

# The tool asks this after each chunk, and each second while the answer is more than --max-lag.
sub get_slave_lag {
   my ($self) = @_;
   return sub {
      $self->_count_rows();
      my $before = $self->{throttled};
      $self->{throttled} = $self->_refusal();
      if ( $self->{throttled} ne $before || time - ($self->{told} || 0) > 1 ) {
         $self->{told} = time;
         $self->_write('copying', 'running');
      }
      return $self->{throttled} ? TOO_MUCH_LAG : 0;
   };
}

sub _count_rows {
   my ($self) = @_;
   my $original = $self->{original};
   if ( $original && $original->{row_cnt} ) {
      $self->{copied} += $original->{row_cnt};
      $original->{row_cnt} = 0;
   }
   return;
}

# Why the throttler says no; empty when the tool may go on.
sub _refusal {
   my ($self) = @_;
   my $url = $self->_callback()->{throttle_url} || return '';
   my $answer = eval { $self->_get($url) };
   if ( !defined $answer ) {
      return 'the daemon does not answer';
   }
   my ($code) = $answer =~ m{^HTTP/\S+ (\d+)};
   return '' if $code && $code == 200;
   my ($message) = $answer =~ m/"Message"\s*:\s*"([^"]*)"/i;
   return $message || 'the throttler answers ' . ($code || 'nothing');
}

# The daemon that takes a run over may answer at another address: it writes the file anew.
sub _callback {
   my ($self) = @_;
   my $found = _read_values("$self->{directory}/callback");
   $self->{callback} = $found if $found->{token};
   return $self->{callback};
}

# Returns whether the report is in its file; the callback only makes it known sooner.
sub _report {
   my ($self, $event, $status) = @_;
   my $is_written = $self->_write($event, $status);
   my $callback = $self->_callback();
   if ( $callback->{url} ) {
      my $query = "?uuid=$callback->{uuid}&status=$status&dryrun=$self->{dry_run}"
                . "&rowscopied=$self->{copied}";
      eval { $self->_get($callback->{url} . $query) };
   }
   return $is_written;
}

sub _write {
   my ($self, $event, $status) = @_;
   my $path = "$self->{directory}/report.$event";
   open my $file, '>', "$path.$$.tmp" or return 0;
   print $file "event=$event\nstatus=$status\ndryrun=$self->{dry_run}\n",
      "rowscopied=$self->{copied}\nold_table=", ($self->{old_table} || ''),
      "\nthrottled=$self->{throttled}\nat=", time, "\n";
   close $file or return 0;
   return rename "$path.$$.tmp", $path;
}

sub _get {
   my ($self, $url) = @_;
   my ($address, $path) = $url =~ m{^http://([^/]+)(/.*)$} or die "bad url\n";
   my $text = '';
   local $SIG{ALRM} = sub { die "no answer\n" };
   my $answered = eval {
      Time::HiRes::alarm(CALLBACK_SECONDS_MAX);
      my $socket = IO::Socket::INET->new(
         PeerAddr => $address,
         Timeout  => CALLBACK_SECONDS_MAX,
      ) or die "no connection\n";
      print $socket "GET $path HTTP/1.0\r\nHost: $address\r\n",
         "Authorization: Bearer $self->{callback}->{token}\r\n\r\n";
      while ( my $line = <$socket> ) { $text .= $line; }
      close $socket;
      1;
   };
   Time::HiRes::alarm(0);
   die "no answer\n" unless $answered && $text;
   return $text;
}

sub _read_values {
   my ($path) = @_;
   my %values;
   if ( open my $file, '<', $path ) {
      while ( my $line = <$file> ) {
         chomp $line;
         my ($name, $value) = split /=/, $line, 2;
         $values{$name} = $value;
      }
      close $file;
   }
   return \%values;
}

1;
