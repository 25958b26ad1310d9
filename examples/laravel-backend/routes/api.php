<?php

// API routes have no session and no CSRF check: do not add statefulApi().

use App\Http\Controllers\AccountController;
use App\Http\Controllers\SocialSignInController;
use Illuminate\Support\Facades\Route;

Route::prefix('v2')->group(function () {
    Route::post('/login', [AccountController::class, 'signIn'])->middleware('throttle:sign-in');
    Route::post('/login/social/callback/{provider}', SocialSignInController::class)->middleware('throttle:social');

    Route::middleware(['auth:sanctum', 'ability:site'])->group(function () {
        Route::post('/user', [AccountController::class, 'show']);
        Route::patch('/profile', [AccountController::class, 'update']);
        Route::post('/logout', [AccountController::class, 'signOut']);
    });
});
