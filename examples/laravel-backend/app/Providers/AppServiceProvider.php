<?php

namespace App\Providers;

use Illuminate\Cache\RateLimiting\Limit;
use Illuminate\Http\Request;
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
    }

    private function account(Request $request): string
    {
        $email = $request->input('email');

        return is_string($email) ? Str::transliterate(Str::lower(trim($email))) : '';
    }
}
