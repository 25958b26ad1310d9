<?php

namespace App\Providers;

use App\Models\User;
use Illuminate\Cache\RateLimiting\Limit;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Http;
use Illuminate\Support\Facades\RateLimiter;
use Illuminate\Support\ServiceProvider;
use Illuminate\Support\Str;

class AppServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        RateLimiter::for('social', fn (Request $request) => Limit::perMinute(60)->by($request->ip()));
        RateLimiter::for('sign-in', fn (Request $request) => [
            Limit::perMinute(60)->by($request->ip()),
            Limit::perMinute(5)->by($this->account($request).'|'.$request->ip()),
        ]);
        User::updated(function (User $user): void {
            if ($user->wasChanged(['password', 'closed_at'])) {
                $this->endSessions($user);
            }
        });
    }

    private function endSessions(User $user): void
    {
        $user->tokens()->delete();
        if ($url = config('services.munjigi.url')) {
            rescue(fn () => Http::withToken(config('services.munjigi.token'))->timeout(5)->retry(3, 200)
                ->post("$url/api/auth/sessions/revoke", ['user_id' => $user->id]));
        }
    }

    private function account(Request $request): string
    {
        $email = $request->input('email');

        return is_string($email) ? Str::transliterate(Str::lower(trim($email))) : '';
    }
}
